"""Both listeners of one process: sockets, signals, certificate reload, graceful end.

Guarantees: SIGTERM and SIGINT let what is in flight finish, at most `Limits.shutdown` seconds, and
`run` returns 0; SIGHUP or a change of the files exchanges the server certificate for later
handshakes. Every listener has the same TLS policy (`app.tls.context`), whatever name the client
asks for. Does not fork workers: with `reuse_port` several processes may share fixed ports.
"""

import asyncio
import contextlib
import logging
import resource
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

logger = logging.getLogger("certbound.tls")

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
LoopName = Literal["auto", "uvloop", "asyncio"]

_BACKLOG = 2048
_OTHER_FILES = 256
"""Database, logs, the event loop's own, outgoing connections."""


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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by `serve`: uvicorn would raise them again at the end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut off those who never got as far as a request, then end gracefully."""
        self._service.stopping = True
        for connection in self._service.sweeper:
            if isinstance(connection, TlsConnection):
                connection.give_up_handshake()
        await super().shutdown(sockets)


def bind(host: str, ports: Sequence[int], *, reuse_port: bool = False) -> list[socket.socket]:
    """Listening sockets for every address of `host` and every port; 0 picks a free one.

    Raises:
        OSError: an address is taken or not this machine's; the message names it.
    """
    bound: list[socket.socket] = []
    try:
        for port in ports:
            chosen = port
            for family, *_, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                listening = _bind_one(family, (address[0], chosen, *address[2:]), reuse_port)
                bound.append(listening)
                chosen = listening.getsockname()[1]
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _bind_one(
    family: socket.AddressFamily,
    address: tuple[Any, ...],
    reuse_port: bool,  # noqa: FBT001 - private
) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{address[0]} port {address[1]}: {error.strerror}") from error
    return listening


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
    reuse_port: bool = False,
    counts: Counts | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop` is set; returns once all is closed.

    `on_started` gets the bound addresses in the order of `ports`; `on_stopping` is called before
    anything is closed (to become "not ready"); `on_reload` after a SIGHUP; `on_certificate` gets the
    end of the server certificate, seconds since the epoch, at the start and at each exchange. Outside a process's
    main thread there are no signals, only `stop`.

    Raises:
        CertificateFileError: the server's certificate or key cannot be used.
        OSError: an address cannot be bound.
    """
    tls = context.build(certificate_file, key_file)
    _allow_open_files(limits.max_connections)
    sockets = bind(host, ports, reuse_port=reuse_port)
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

    def end() -> None:
        if server.should_exit:
            server.force_exit = True  # asked twice: do not wait for what is in flight
            return
        on_stopping()
        server.should_exit = True

    def reload() -> None:
        certificate.reload()
        on_reload()

    async def end_when_told(told: asyncio.Event) -> None:
        await told.wait()
        end()

    watching = [asyncio.create_task(certificate.watch())]
    if stop is not None:
        watching.append(asyncio.create_task(end_when_told(stop)))
    try:
        with _signals({signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}):
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


def _allow_open_files(connections: int) -> None:
    """Raise this process's soft limit so that the cap on connections is reached first.

    Many systems start a process with 1024; without a free descriptor nobody could even be turned
    away.
    """
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        logger.warning("only %d of %d open files are allowed to this process", hard, needed)
        needed = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextlib.contextmanager
def _signals(handlers: dict[signal.Signals, Callable[[], None]]) -> Iterator[None]:
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
