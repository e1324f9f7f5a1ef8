"""Slow clients: cut off at an absolute deadline, told so where HTTP allows, in nobody's way."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from app.tls.limits import Limits
from app.tls.listener import LoopName
from tests.kit.certs import pki
from tests.kit.server import LOOPS, Echo, serving
from tests.kit.wire import Reader, ask, ask_once, client_context, connected, get, post

# What a client does within `handshake` and `idle` must be done in time on a busy machine.
_SHORT = Limits(handshake=2.0, headers=0.6, body=0.6, idle=2.0, flush=0.6, linger=0.4)
_LONG = Limits(handshake=600, headers=600, body=600, idle=600, shutdown=600)
# Bounds a hang.
_PATIENCE = 60.0


def _trickle(raw: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send a byte every 50 ms, so that no per-byte timeout would ever fire."""
    with contextlib.suppress(OSError):
        for byte in data:
            if stop.wait(0.05):
                return
            raw.sendall(bytes([byte]))


@contextlib.contextmanager
def _trickling(raw: socket.socket, data: bytes) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_trickle, args=(raw, data, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(pki().clients["pki"]).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _time_to_end(raw: socket.socket) -> float:
    """Seconds until the server closes."""
    started = time.monotonic()
    raw.settimeout(_PATIENCE)
    with contextlib.suppress(ConnectionResetError):
        while raw.recv(65536):
            pass
    return time.monotonic() - started


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("sent", ["nothing", "half a hello", "a whole hello", "trickle"])
def test_a_handshake_has_a_deadline(loop: LoopName, sent: str) -> None:
    """No ClientHello, a part of one, one and nothing more, or one byte after the other: cut off."""
    hello = _client_hello()
    echo = Echo()
    with serving(echo, loop=loop, limits=_SHORT) as server:
        with socket.create_connection(("127.0.0.1", server.port), _PATIENCE) as raw:
            trickle = hello if sent == "trickle" else b""
            with _trickling(raw, trickle):
                raw.sendall({"half a hello": hello[:100], "a whole hello": hello}.get(sent, b""))
                assert 0.4 < _time_to_end(raw) < _PATIENCE
        assert ask_once(server.port).status == 200
    assert len(echo.seen) == 1


def test_who_says_nothing_gets_an_alert() -> None:
    """Before the server has said anything, being cut off is an alert in the clear."""
    with (
        serving(Echo(), limits=_SHORT) as server,
        socket.create_connection(("127.0.0.1", server.port), _PATIENCE) as raw,
    ):
        assert raw.recv(100) == b"\x15\x03\x03\x00\x02\x02\x50"
        assert raw.recv(100) == b""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: loc", id="headers"),
        pytest.param(b"\r\n\r\n", id="empty lines"),
        pytest.param(post(b"x" * 100)[:-50], id="body"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            id="chunk",
        ),
    ],
)
def test_half_a_request_is_answered_408(loop: LoopName, request_bytes: bytes) -> None:
    """Headers or body that stop half-way end in 408 at the deadline; the application never runs."""
    echo = Echo()
    with serving(echo, loop=loop, limits=_SHORT) as server, connected(server.port) as connection:
        started = time.monotonic()
        response = ask(connection, request_bytes)
        assert 0.4 < time.monotonic() - started < _PATIENCE
        assert response.status == 408
        assert response.headers["connection"] == "close"
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["error"] == "invalid_request"
        assert connection.recv(100) == b""
    assert echo.seen == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(get(extra="X: " + "y" * 500), id="headers"),
        pytest.param(post(b"x" * 500), id="body"),
    ],
)
def test_trickling_does_not_prolong_the_deadline(loop: LoopName, request_bytes: bytes) -> None:
    """A byte every 50 ms keeps nothing alive: the deadlines are absolute."""
    with serving(Echo(), loop=loop, limits=_SHORT) as server, connected(server.port) as connection:
        with _trickling(connection, request_bytes):
            response = Reader(connection).response()
        assert response.status == 408, "it did not wait for the last byte"


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_connections_are_closed_with_goodbye(loop: LoopName) -> None:
    """Without a request, or between two, the end is a silent close_notify: nobody waits for a 408."""
    with serving(Echo(), loop=loop, limits=_SHORT) as server:
        with connected(server.port) as connection:
            assert connection.recv(100) == b""
        with connected(server.port) as connection:
            for _ in range(3):
                assert ask(connection, get()).status == 200
            started = time.monotonic()
            assert connection.recv(100) == b""
            assert 0.4 < time.monotonic() - started < _PATIENCE


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_application_is_not_the_clients_fault(loop: LoopName) -> None:
    """While the endpoint works, no deadline of the client runs."""
    with serving(Echo(), loop=loop, limits=_SHORT) as server, connected(server.port) as connection:
        assert ask(connection, get("/wait?s=3")).status == 200
        assert ask(connection, get()).status == 200


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_does_not_read_is_given_up(loop: LoopName) -> None:
    """A response that nobody takes does not hold the connection for ever."""
    with (
        serving(Echo(), loop=loop, limits=Limits(idle=0.6)) as server,
        connected(server.port) as connection,
    ):
        connection.sendall(get("/big?n=30000000"))
        time.sleep(4.0)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                received += len(piece)
        # Only what the kernel held for the connection.
        assert received < 25_000_000


def _no_hello(raw: socket.socket) -> None:
    """Only connect."""


def _half_hello(raw: socket.socket) -> None:
    raw.sendall(_client_hello()[:50])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("start", [_no_hello, _half_hello])
def test_slow_handshakes_do_not_delay_the_end(
    loop: LoopName, start: Callable[[socket.socket], None]
) -> None:
    """Stopping does not wait for the deadline of a handshake."""
    with contextlib.ExitStack() as stack, serving(Echo(), loop=loop, limits=_LONG) as server:
        for _ in range(20):
            raw = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), _PATIENCE)
            )
            start(raw)
        time.sleep(0.2)
        server.stop(_PATIENCE)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "request_bytes", [b"", b"GET / HTTP/1.1\r\nHost: ", post(b"x" * 100)[:-50]]
)
def test_slow_requests_do_not_delay_the_end(loop: LoopName, request_bytes: bytes) -> None:
    """Idle, half-headed and half-bodied clients: the end does not wait for any of their deadlines."""
    with contextlib.ExitStack() as stack, serving(Echo(), loop=loop, limits=_LONG) as server:
        for _ in range(20):
            connection = stack.enter_context(connected(server.port))
            connection.sendall(request_bytes)
        time.sleep(0.2)
        server.stop(_PATIENCE)


def test_slow_clients_are_in_nobodys_way() -> None:
    """With two hundred slow connections open, others are served at once."""
    with contextlib.ExitStack() as stack, serving(Echo()) as server:
        for number in range(100):
            raw = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), _PATIENCE)
            )
            if number % 2:
                raw.sendall(_client_hello()[:60])
        for _ in range(100):
            stack.enter_context(connected(server.port)).sendall(post(b"x" * 100)[:-1])
        for _ in range(20):
            assert ask_once(server.port, client=pki().clients["pki"]).status == 200
