"""Both listeners of one process: sockets, signals, certificate reload, graceful end.

Guarantees: SIGTERM and SIGINT let what is in flight finish, at most `Limits.shutdown` seconds, and
`run` returns 0; SIGHUP or a change of the files exchanges the server certificate for later
handshakes; handing over fails no request. Every listener has the same TLS policy
(`app.tls.context`), whatever name the client asks for. Does not start processes: several may
accept from the same `sockets` (`app.workers`).
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import uvicorn
from OpenSSL import SSL

from app.counts import Counts
from app.tls import context
from app.tls.admission import Admission
from app.tls.connection import TlsConnection
from app.tls.deadlines import Sweeper
from app.tls.http import HttpProtocol
from app.tls.limits import Limits
from app.tls.reload import ServerCertificate
from app.tls.sending import Service
from app.tls.sockets import allow_open_files, bind

logger = logging.getLogger("certbound.tls")

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
LoopName = Literal["auto", "uvloop", "asyncio"]

_BACKLOG = 2048
_TICK = 0.1
"""Seconds between looks at whether the last connection has ended."""


def nothing() -> None:
    """For callbacks that nobody asked for."""


def ignored(_end: int) -> None:
    """The same, of those that are told something."""


class _Server(uvicorn.Server):
    """The server of uvicorn without its signal handling, with connections of ours."""

    def __init__(
        self, config: uvicorn.Config, service: Service, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._on_started = on_started
        self.ending = False
        """Told to stop, not only to hand over."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by `serve`: uvicorn would raise them again at the end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut off those who never got as far as a request, then end gracefully.

        When handing over, nobody is cut off: first every connection comes to its own end.
        """
        if self._service.handing_over:
            await self._hand_over(sockets or [])
        self._service.stopping = True
        for connection in self._service.sweeper:
            if isinstance(connection, TlsConnection):
                connection.give_up_handshake()
        await super().shutdown(sockets)

    def stop_accepting(self) -> None:
        """Now: uvicorn looks at `should_exit` ten times a second."""
        for server in self.servers:
            server.close()

    async def _hand_over(self, sockets: list[socket.socket]) -> None:
        self.stop_accepting()
        for each in sockets:
            each.close()
        for connection in self.server_state.connections:
            cast("HttpProtocol", connection).hand_over()
        limits = self._service.limits
        loop = asyncio.get_running_loop()
        until = loop.time() + limits.idle + limits.headers + limits.body
        await asyncio.sleep(_TICK)  # what the kernel had handed to us shows up as connections
        while any(self._service.sweeper) and loop.time() < until and not self.ending:  # noqa: ASYNC110 - connections end without telling anybody
            await asyncio.sleep(_TICK)


async def serve(
    app: Application,
    *,
    host: str,
    ports: Sequence[int],
    certificate_file: Path,
    key_file: Path,
    limits: Limits,
    on_started: Callable[[list[tuple[str, int]]], None],
    on_stopping: Callable[[], None],
    on_reload: Callable[[], None] = nothing,
    on_certificate: Callable[[int], None] = ignored,
    stop: asyncio.Event | None = None,
    hand_over: asyncio.Event | None = None,
    sockets: list[socket.socket] | None = None,
    counts: Counts | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop` is set; returns once all is closed.

    `sockets` are listening already, instead of `host` and `ports`, and others may accept from them.
    With `hand_over` those others get whoever connects from then on; each client here gets one more
    answer, which tells it to connect anew.

    `on_started` gets the bound addresses in the order of `ports`; `on_stopping` is called before
    anything is closed (to become "not ready"); `on_reload` after a SIGHUP; `on_certificate` gets the
    end of the server certificate, seconds since the epoch, at the start and at each exchange. Outside a process's
    main thread there are no signals, only `stop`.

    Raises:
        CertificateFileError: the server's certificate or key cannot be used.
        OSError: an address cannot be bound.
    """
    tls = context.build(certificate_file, key_file)
    allow_open_files(limits.max_connections)
    sockets = sockets or bind(host, ports)
    addresses = [(str(each.getsockname()[0]), int(each.getsockname()[1])) for each in sockets]
    counts = counts or Counts()
    admission = Admission(limits)
    counts.connections.set_function(lambda: admission.open)
    service = Service(limits, tls, admission, Sweeper(limits), counts=counts)
    server = _Server(_configuration(app, service), service, lambda: on_started(addresses))

    def renew(fresh: SSL.Context) -> None:
        service.context = fresh
        on_certificate(context.end_of_certificate(fresh))

    renew(tls)

    certificate = ServerCertificate(certificate_file, key_file, renew)
    asked = 0

    def end() -> None:
        if not server.ending:
            on_stopping()
        server.ending = server.should_exit = True

    def end_by_signal() -> None:
        nonlocal asked
        asked += 1
        server.force_exit = asked > 1  # asked twice: do not wait for what is in flight
        end()

    def step_back() -> None:
        service.handing_over = server.should_exit = True
        server.stop_accepting()

    def reload() -> None:
        certificate.reload()
        on_reload()

    async def when(told: asyncio.Event, act: Callable[[], None]) -> None:
        await told.wait()
        act()

    watching = [asyncio.create_task(certificate.watch())]
    watching += [
        asyncio.create_task(when(told, act))
        for told, act in ((stop, end), (hand_over, step_back))
        if told is not None
    ]
    ending = dict.fromkeys((signal.SIGTERM, signal.SIGINT), end_by_signal)
    try:
        with signals({**ending, signal.SIGHUP: reload}):
            await server.serve(sockets)
    finally:
        for task in watching:
            task.cancel()
        for each in sockets:
            each.close()


def run(app: Application, *, loop: LoopName = "auto", **settings: Any) -> int:
    """`serve` in an event loop of its own; returns the exit code of the process, 0 unless raised."""
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(serve(app, **settings))
    return 0


def loop_factory(loop: LoopName) -> Callable[[], asyncio.AbstractEventLoop]:
    """A loop of uvloop where it can be imported and is not forbidden, else asyncio's own loop."""
    if loop != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 - has no build for every platform
        except ImportError:
            if loop == "uvloop":
                raise
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop


def _configuration(app: Application, service: Service) -> uvicorn.Config:
    """Make uvicorn without anything that reads what clients claim (proxy headers) or logs by itself."""

    def connection(
        *, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], _loop: Any
    ) -> TlsConnection:
        return TlsConnection(
            service, lambda: HttpProtocol(config, server_state, app_state, service.limits)
        )

    return uvicorn.Config(
        cast("Any", app),
        http=cast("Any", connection),
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=max(1, int(service.limits.shutdown)),
    )


@contextlib.contextmanager
def signals(handlers: dict[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Handle signals in the event loop; only the main thread of a process can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
