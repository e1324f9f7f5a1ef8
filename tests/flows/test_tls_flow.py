"""Bytes in motion: nothing stalls, nothing is lost, nothing piles up."""

import contextlib
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.tls.limits import Limits
from app.tls.listener import LoopName
from app.tls.peer import thumbprint
from tests.kit.certs import pki
from tests.kit.server import LOOPS, Echo, serving
from tests.kit.wire import (
    ClosedEarly,
    Reader,
    ask,
    ask_once,
    client_context,
    connected,
    get,
    post,
)

_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("cut", [0, 1, 50])
def test_a_request_may_come_with_the_clients_finished(
    loop: LoopName, version: ssl.TLSVersion, cut: int
) -> None:
    """Finished and request in one packet, or torn apart anywhere, are answered without more input."""
    client = pki().clients["pki"]
    with serving(Echo(), loop=loop) as server:
        for _ in range(5):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context(client, version).wrap_bio(
                incoming, outgoing, server_hostname="localhost"
            )
            with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
                _shake_hands(tls, incoming, outgoing, raw)
                tls.write(get("/first"))
                tls.write(get("/second"))
                flight = outgoing.read()
                raw.sendall(flight[: len(flight) - cut])
                raw.sendall(flight[len(flight) - cut :])
                answer = b""
                while answer.count(b'"thumbprint": "' + thumbprint(client.der).encode()) < 2:
                    incoming.write(raw.recv(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        while True:
                            answer += tls.read(65536)


def _shake_hands(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, raw: socket.socket
) -> None:
    """Up to the point where only the client's own last flight is left, unsent where TLS allows."""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))
        else:
            return


@pytest.mark.parametrize("loop", LOOPS)
def test_soak_of_new_and_kept_connections(loop: LoopName) -> None:
    """Five hundred connections, new and kept alive, two hundred at a time: each gets each answer."""
    clients = [None, *(pki().clients[kind] for kind in ("pki", "self_signed", "rsa_1024"))]

    def one(number: int) -> int:
        client = clients[number % len(clients)]
        version = _VERSIONS[number // len(clients) % 2]
        expected = thumbprint(client.der) if client else None
        requests = 1 if number % 2 else 8
        with connected(server.port, client, version) as connection:
            for turn in range(requests):
                body = b"x" * (turn * 1000)
                seen = ask(connection, post(body, f"/{number}")).json()
                assert seen["thumbprint"] == expected
                assert seen["path"] == f"/{number}"
                assert len(seen["body"]) == len(body)
        return requests

    echo = Echo()
    with (
        serving(echo, loop=loop) as server,
        ThreadPoolExecutor(40) as pool,
        contextlib.ExitStack() as stack,
    ):
        kept = [stack.enter_context(connected(server.port)) for _ in range(160)]
        answered = sum(pool.map(one, range(500)))
        for connection in kept:
            assert ask(connection, get()).status == 200
    assert len(echo.seen) == answered + 160


@pytest.mark.parametrize("loop", LOOPS)
def test_a_big_response_to_a_slow_reader_does_not_pile_up(loop: LoopName) -> None:
    """Thirty megabytes to a client that starts late: complete, and never in the server's memory."""
    size = 30_000_000
    with serving(Echo(), loop=loop) as server, connected(server.port) as connection:
        connection.sendall(get(f"/big?n={size}", close=True))
        assert ask_once(server.port).status == 200
        reader = Reader(connection)
        assert reader.response().body == b"x" * size
        assert reader.rest() == b""


@pytest.mark.parametrize("loop", LOOPS)
def test_pending_output_is_bounded(loop: LoopName) -> None:
    """The application is told to wait while the client does not read."""
    sent = 0
    blocked = threading.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["type"] == "lifespan":
            await Echo()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2000):
            piece = {"type": "http.response.body", "body": b"x" * 50_000, "more_body": True}
            await send(piece)
            sent += 50_000
        blocked.set()

    with (
        serving(stream, loop=loop, limits=Limits(idle=1.0)) as server,
        connected(server.port) as connection,
    ):
        connection.sendall(get())
        assert not blocked.wait(0.7)
        # What the kernel holds of a socket, and one buffer of our own.
        assert sent < 20_000_000
    assert blocked.wait(5)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", _VERSIONS)
def test_a_half_closed_client_gets_its_answer(loop: LoopName, version: ssl.TLSVersion) -> None:
    """close_notify or a closed TCP half behind a whole request does not lose the response."""
    for goodbye in (True, False):
        with serving(Echo(), loop=loop) as server:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context(None, version).wrap_bio(
                incoming, outgoing, server_hostname="localhost"
            )
            with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
                _shake_hands(tls, incoming, outgoing, raw)
                tls.write(get("/wait?s=0.3"))
                if goodbye:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        tls.unwrap()
                raw.sendall(outgoing.read())
                raw.shutdown(socket.SHUT_WR)
                received = b""
                while piece := raw.recv(65536):
                    received += piece
            # Ciphertext of a response, not just an alert: with close_notify sent, Python's ssl
            # would not decrypt it any more.
            assert len(received) > 300


@pytest.mark.parametrize("loop", LOOPS)
def test_an_unfinished_request_ends_with_its_client(loop: LoopName) -> None:
    """A closed half in the middle of a request ends the connection; the application never runs."""
    echo = Echo()
    with serving(echo, loop=loop) as server, connected(server.port) as connection:
        connection.sendall(post(b"x" * 10)[:-5])
        raw = socket.socket(fileno=connection.detach())
        with raw:
            raw.settimeout(60)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1000):
                pass
    assert echo.seen == []


@pytest.mark.parametrize("loop", LOOPS)
def test_input_after_the_end_is_ignored(loop: LoopName) -> None:
    """What a client sends behind its own close_notify is no request."""
    echo = Echo()
    with serving(echo, loop=loop) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            _shake_hands(tls, incoming, outgoing, raw)
            tls.write(get("/wait?s=0.2"))
            early = outgoing.read()
            tls.write(get("/late"))
            late = outgoing.read()
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
            raw.sendall(early + outgoing.read() + late + b"\x17garbage")
            while raw.recv(65536):
                pass
    assert [scope["path"] for scope in echo.seen] == ["/wait"]


@pytest.mark.parametrize("loop", LOOPS)
def test_the_application_learns_that_its_client_left(loop: LoopName) -> None:
    """A reset while the endpoint works becomes ``http.disconnect``."""
    echo = Echo()
    with serving(echo, loop=loop) as server:
        with connected(server.port) as connection:
            connection.sendall(get("/wait?s=20"))
            while not echo.seen:
                pass
            raw = socket.socket(fileno=connection.detach())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            raw.close()
        server.stop()
    assert echo.disconnects == 1


def test_a_failing_application_does_not_stall_the_connection() -> None:
    """An exception before the response is a 500, one in the middle of it a truncation."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await Echo()(scope, receive, send)
            return
        if scope["path"] == "/half":
            head = {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"10")],
            }
            await send(head)
        raise RuntimeError

    with serving(failing) as server:
        assert ask_once(server.port).status == 500
        with connected(server.port) as connection, pytest.raises(ClosedEarly):
            ask(connection, get("/half"))
