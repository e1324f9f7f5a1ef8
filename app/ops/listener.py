"""The operations listener: plain HTTP, for machines that watch this one.

Guarantees: it starts before the server does and ends after it, so that "not ready" can be seen; one
request per connection, at most `MAX_REQUEST` octets, answered within `PATIENCE` seconds or cut off;
at most `MAX_CONNECTIONS` at a time are open, and one more takes the place of the one that has waited
longest without asking anything, so that idle ones keep no probe away. No TLS and no authentication:
whoever can connect can ask, so it listens on this machine alone unless a setting says otherwise; and
there it answers to this machine's own names alone (`app.ops.rebinding`). Of several workers any
answers: so one that crashed or hangs keeps nobody from asking.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.ops.rebinding import answering_to_own_names
from app.tls.sockets import bind

MAX_REQUEST = 16 * 1024
"""Octets; a scraper sends some hundred."""
PATIENCE = 15.0
"""Seconds; a scrape may wait 5 for the database."""
MAX_CONNECTIONS = 32


class CannotListen(Exception):
    """The address of the operations listener cannot be bound; the text names it."""


def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets to listen on; none for port 0.

    Raises:
        CannotListen: the address is taken or not this machine's.

    """
    if port == 0:
        return []
    try:
        return bind(host, [port])
    except OSError as error:
        raise CannotListen(str(error.strerror or error)) from error


class _Server(uvicorn.Server):
    """The server of uvicorn without its signal handling: the main listener's end is its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _OneRequest(HttpToolsProtocol):
    """One small request, soon answered."""

    open: dict["_OneRequest", None]
    """All of one listener, the oldest first; see `_protocol`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the clock that nothing prolongs."""
        super().connection_made(transport)
        self._received = 0
        self.has_asked = False
        self._deadline = self.loop.call_later(PATIENCE, transport.abort)
        if len(self.open) >= MAX_CONNECTIONS:
            self._make_room()
        self.open[self] = None

    def _make_room(self) -> None:
        """End the oldest that asks nothing; where all do, the newcomer, which is this one."""
        idle = next((each for each in self.open if not each.has_asked), self)
        self.open.pop(idle, None)
        self.connections.discard(idle)  # else it counts until the event loop has closed it
        idle.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse no more than `MAX_REQUEST`."""
        self._received += len(data)
        if self._received > MAX_REQUEST:
            self.transport.abort()
        elif not self.transport.is_closing():
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """A request is there, and will be answered."""
        self.has_asked = True
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._deadline.cancel()
        self.open.pop(self, None)
        super().connection_lost(exc)


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve `app` until the block ends, and close the sockets. None: not at all."""
    if not sockets:
        yield
        return
    try:
        server = _Server(_configuration(answering_to_own_names(app, sockets[0].getsockname()[0])))
        serving = asyncio.create_task(server.serve(list(sockets)))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
    finally:
        for each in sockets:
            each.close()


def _protocol() -> type[_OneRequest]:
    """The protocol of one listener, which knows its open connections."""
    return type("_OneRequest", (_OneRequest,), {"open": {}})


def _configuration(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", app),
        http=_protocol(),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[("Connection", "close")],
        # Ours comes first; this is for requests whose connection is gone.
        limit_concurrency=2 * MAX_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
