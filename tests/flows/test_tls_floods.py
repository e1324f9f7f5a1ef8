"""Requests that never end or never stop coming: refused after a known number of octets."""

import pytest

from app.tls.limits import Limits
from app.tls.listener import LoopName
from tests.kit.server import LOOPS, Echo, serving
from tests.kit.wire import Reader, ask, ask_once, connected, get

_CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
_RECORD = 16 * 1024
# 32 KiB, the piece in which the headers ended, and the piece that is one too many.
_ENOUGH = 32 * 1024 + 2 * _RECORD

# How it begins, and what is repeated after it without end.
FLOODS: dict[str, tuple[bytes, bytes]] = {
    "one trailer's value": (b"0\r\nX: ", b"a"),
    "one trailer's name": (b"0\r\n", b"a"),
    "trailers": (b"0\r\n", b"X: a\r\n"),
    "trailers without a value": (b"0\r\n", b"X:\r\n"),
    "trailers after a body": (b"2000\r\n" + b"b" * 0x2000 + b"\r\n0\r\n", b"X: a\r\n"),
    "a chunk extension": (b"1;x=", b"a"),
    "chunk extensions": (b"1", b";x=a"),
    "an extension of every chunk": (b"", b"1;x=aaaaaaaaaa\r\nb\r\n"),
    "a chunk size of zeros": (b"", b"0"),
    "chunks of one octet": (b"", b"1\r\nb\r\n"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("flood", FLOODS)
def test_what_surrounds_a_body_is_capped(loop: LoopName, flood: str) -> None:
    """Trailers, extensions and chunk sizes count: 413, nobody else waits, no endpoint runs."""
    begin, again = FLOODS[flood]
    framing = len(again) - again.count(b"b")
    endless = again * (_ENOUGH // framing + 1)
    echo = Echo()
    with serving(echo, loop=loop) as server, connected(server.port) as connection:
        connection.sendall(_CHUNKED + begin)
        for start in range(0, len(endless), _RECORD):
            connection.sendall(endless[start : start + _RECORD])
        assert ask_once(server.port, get("/bystander")).status == 200
        reader = Reader(connection)
        assert reader.response().status == 413
        assert reader.rest() == b""
    assert [scope["path"] for scope in echo.seen] == ["/bystander"]


def test_a_flood_has_no_effect_on_those_after_it() -> None:
    """Eight megabytes of trailers at once: the sender reads the refusal, the next client is served."""
    with serving(Echo()) as server:
        with connected(server.port) as connection:
            connection.sendall(_CHUNKED + b"0\r\nX: ")
            for _ in range(80):
                connection.sendall(b"a" * 100_000)
            assert Reader(connection).response().status == 413
        assert ask_once(server.port).status == 200


@pytest.mark.parametrize(
    ("chunk", "count", "end"),
    [(1, 6000, b""), (64, 1024, b""), (8192, 8, b"X: %s\r\n" % (b"a" * 15_000))],
)
def test_ordinary_chunks_pass(chunk: int, count: int, end: bytes) -> None:
    """Small chunks, the largest body in middling ones, and a long trailer stay far from the cap."""
    with serving(Echo()) as server, connected(server.port) as connection:
        chunks = b"%x\r\n%s\r\n" % (chunk, b"b" * chunk) * count
        response = ask(connection, _CHUNKED + chunks + b"0\r\n" + end + b"\r\n")
    assert response.status == 200
    assert len(response.json()["body"]) == chunk * count


@pytest.mark.parametrize("loop", LOOPS)
def test_few_requests_may_wait(loop: LoopName) -> None:
    """Hundreds in one packet: those that may wait are answered in order, then 429 and the end."""
    echo = Echo()
    with serving(echo, loop=loop) as server, connected(server.port) as connection:
        connection.sendall(get("/wait?s=0.3") + get() * 300)
        assert ask_once(server.port, get("/bystander")).status == 200
        reader = Reader(connection)
        for _ in range(1 + Limits().max_waiting):
            assert reader.response().status == 200
        assert reader.response().status == 429
        assert reader.rest() == b""
    assert len(echo.seen) == 1 + Limits().max_waiting + 1


def test_one_after_another_there_may_be_any_number() -> None:
    """The cap is on those that wait: a thousand requests, sixteen at a time, are all answered."""
    with serving(Echo()) as server, connected(server.port) as connection:
        reader = Reader(connection)
        for _ in range(60):
            connection.sendall(get() * Limits().max_waiting)
            for _ in range(Limits().max_waiting):
                assert reader.response().status == 200
