"""One meaning per request: what the parser and the checks around it let through, frozen."""

import json
import ssl
from collections.abc import Iterator

import pytest

from app.tls.limits import Limits
from app.tls.listener import LoopName
from tests.kit.server import LOOPS, Echo, Running, serving
from tests.kit.wire import ClosedEarly, Reader, Response, ask, connected, get, post

_HOST = b"Host: localhost\r\n"
_POST = b"POST / HTTP/1.1\r\n" + _HOST
_UPGRADE = _POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"

# What was sent, and the status it gets; 200 means that the application saw it.
PARSER_TABLE: dict[str, tuple[bytes, int]] = {
    "plain": (get(), 200),
    "content length and transfer encoding": (
        _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    "transfer encoding and content length": (
        _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    "two equal lengths": (_POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "two lengths in one line": (_POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "signed length": (_POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "negative length": (_POST + b"Content-Length: -3\r\n\r\nabc", 400),
    "hexadecimal length": (_POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length beyond 64 bits": (_POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "empty length": (_POST + b"Content-Length:\r\n\r\n", 400),
    "space before the colon": (_POST + b"Content-Length : 3\r\n\r\nabc", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "bare line feed in a header": (b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\n" + _HOST + b"X: a\r\n b\r\n\r\n", 400),
    "header before which there is a space": (b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + _HOST + b"Host: other\r\n\r\n", 400),
    "the same host twice": (b"GET / HTTP/1.1\r\n" + _HOST + _HOST + b"\r\n", 400),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: localhost/x?y=\r\n\r\n", 400),
    "host with user information": (b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n", 400),
    "two hosts in one line": (b"GET / HTTP/1.1\r\nHost: localhost, other\r\n\r\n", 400),
    "host with a port": (b"GET / HTTP/1.1\r\nHost: auth_server:8443\r\n\r\n", 200),
    "IPv6 host": (b"GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", 200),
    "absolute form": (b"GET https://other/ HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "authority form": (b"CONNECT localhost:443 HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "no leading slash": (b"GET token HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "fragment": (b"GET /token#x HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "byte above ASCII in the target": (b"GET /\xff HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "encoded zero byte": (b"GET /a%00b HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "encoded line feed": (b"GET /a%0ab HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "encoding that is not UTF-8": (b"GET /%ff HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "double slash": (b"GET //token HTTP/1.1\r\n" + _HOST + b"\r\n", 200),
    "encoded letter": (b"GET /%74oken HTTP/1.1\r\n" + _HOST + b"\r\n", 200),
    "zero byte in a header": (b"GET / HTTP/1.1\r\n" + _HOST + b"X: a\0b\r\n\r\n", 400),
    "zero byte in a header name": (b"GET / HTTP/1.1\r\n" + _HOST + b"X\0: a\r\n\r\n", 400),
    "header without a colon": (b"GET / HTTP/1.1\r\n" + _HOST + b"nonsense\r\n\r\n", 400),
    "header with an underscore": (b"GET / HTTP/1.1\r\n" + _HOST + b"Client_Cert: x\r\n\r\n", 200),
    "chunked": (_POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
    "chunked and identity": (_POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "gzip and chunked": (_POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "misspelt coding": (_POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "two transfer encodings": (
        _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "bad chunk size": (_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    "signed chunk size": (_POST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 400),
    "wrong chunk end": (_POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    "chunk ended by a bare line feed": (
        _POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        400,
    ),
    "HTTP/1.0 with host": (b"GET / HTTP/1.0\r\n" + _HOST + b"\r\n", 200),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + _HOST + b"\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    "lower-case method": (b"get / HTTP/1.1\r\n" + _HOST + b"\r\n", 400),
    # The parser stops where the other protocol would begin, so before the body.
    "upgrade with a body": (_UPGRADE + b"Content-Length: 3\r\n\r\nabc", 400),
    "upgrade with a body to come": (_UPGRADE + b"Content-Length: 3\r\n\r\n", 400),
    "upgrade with chunks": (
        _UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        400,
    ),
    "upgrade with an empty body": (_UPGRADE + b"Content-Length: 0\r\n\r\n", 200),
    "TLS inside TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, 400),
}


@pytest.fixture(scope="module")
def echo() -> Echo:
    """The application behind `server`."""
    return Echo()


@pytest.fixture(scope="module")
def server(echo: Echo) -> Iterator[Running]:
    """One server for all that only needs answers."""
    with serving(echo) as running:
        yield running


@pytest.mark.parametrize("case", PARSER_TABLE)
def test_parser_table(server: Running, echo: Echo, case: str) -> None:
    """Each row gets its status; refused ones never reach the application and end the connection."""
    request, status = PARSER_TABLE[case]
    before = len(echo.seen)
    with connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(request)
        response = reader.response()
        assert response.status == status
        if status != 200:
            assert_constant_refusal(response, "The request is malformed.")
            assert reader.rest() == b""
    assert (len(echo.seen) - before == 1) is (status == 200)


def assert_constant_refusal(response: Response, description: str) -> None:
    """The whole answer that the HTTP layer gives by itself."""
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "application/json"
    assert "date" in response.headers
    assert "server" not in response.headers
    assert response.json() == {"error": "invalid_request", "error_description": description}


@pytest.mark.parametrize("loop", LOOPS)
def test_large_bodies_are_refused_before_they_are_sent(loop: LoopName) -> None:
    """A Content-Length above the cap is answered 413 at once, although nobody reads the body."""
    echo = Echo()
    with serving(echo, loop=loop) as server, connected(server.port) as connection:
        head = _POST + b"Content-Length: 65537\r\n\r\n"
        assert_constant_refusal(ask(connection, head), "The request body is too large.")
    assert echo.seen == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_goes_on_sending_still_reads_the_refusal(loop: LoopName) -> None:
    """The answer is not lost to a reset while two megabytes of body are under way."""
    with serving(Echo(), loop=loop) as server, connected(server.port) as connection:
        connection.sendall(_POST + b"Content-Length: 2000000\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"x" * 100_000)
        response = Reader(connection).response()
    assert response.status == 413


def test_large_chunked_bodies_are_refused_while_they_stream() -> None:
    """The cap counts decoded bytes as they come, and the application never runs."""
    echo = Echo()
    with serving(echo) as server, connected(server.port) as connection:
        connection.sendall(_POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(9):
            connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        response = Reader(connection).response()
    assert_constant_refusal(response, "The request body is too large.")
    assert response.status == 413
    assert echo.seen == []


def test_the_largest_body_passes(server: Running) -> None:
    """Exactly the cap is not too much."""
    with connected(server.port) as connection:
        response = ask(connection, post(b"x" * 65536))
    assert response.status == 200
    assert len(response.json()["body"]) == 65536


@pytest.mark.parametrize("size", [33_000, 70_000, 1_000_000])
def test_large_headers_are_refused(server: Running, size: int) -> None:
    """Above 32 KiB of headers the answer is 431, in one line or in many, complete or not."""
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 90) for n in range(size // 90))
    for headers in (b"X: " + b"y" * size, lines):
        with connected(server.port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + _HOST)
            response = ask(connection, headers)
            assert response.status == 431
            assert_constant_refusal(response, "The request headers are too large.")


def test_small_header_cap_is_exact() -> None:
    """The cap also holds where request and headers arrive in one piece."""
    with serving(Echo(), limits=Limits(max_header_bytes=200)) as server:
        with connected(server.port) as connection:
            assert ask(connection, post(b"x" * 1000)).status == 200
        with connected(server.port) as connection:
            assert ask(connection, get(extra=f"X: {'y' * 200}\r\n")).status == 431


def test_trailers_never_become_headers(server: Running) -> None:
    """A header after the body came after every check, so nobody gets to see it."""
    trailers = b"Host: evil\r\nClient-Cert: :evil:\r\n"
    request = _POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailers + b"\r\n"
    with connected(server.port) as connection:
        seen = ask(connection, request).json()
    assert seen["body"] == "abc"
    assert "evil" not in json.dumps(seen)


def test_the_application_gets_whole_requests_only(server: Running, echo: Echo) -> None:
    """A body in pieces is handed over complete, once."""
    before = len(echo.seen)
    with connected(server.port) as connection:
        for byte in post(b"grant_type=client_credentials"):
            connection.sendall(bytes([byte]))
        seen = Reader(connection).response().json()
    assert seen["body"] == "grant_type=client_credentials"
    assert seen["more_body"] is False
    assert len(echo.seen) == before + 1


def test_expect_continue_is_answered_before_the_body(server: Running) -> None:
    """A client that asks first is told to go on, and is refused at once where the body is too large."""
    head = _POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(head % 3)
        assert reader.response().status == 100
        connection.sendall(b"abc")
        assert reader.response().json()["body"] == "abc"
    with connected(server.port) as connection:
        assert ask(connection, head % 100_000).status == 413


@pytest.mark.parametrize("loop", LOOPS)
def test_pipelined_requests_are_answered_in_order(loop: LoopName) -> None:
    """As many requests in one packet as may wait, the first one slow: answers keep their order."""
    paths = ["/wait?s=0.3", *(f"/{n}" for n in range(Limits().max_waiting))]
    with serving(Echo(), loop=loop) as server, connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(b"".join(get(path) for path in paths))
        for path in paths:
            assert reader.response().json()["path"] == path.partition("?")[0]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_refusal_waits_its_turn(loop: LoopName) -> None:
    """Garbage behind a slow request is answered after it, never in its place."""
    with serving(Echo(), loop=loop) as server, connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(get("/wait?s=0.2") + get("/next") + b"garbage\r\n\r\n")
        assert reader.response().json()["path"] == "/wait"
        assert reader.response().json()["path"] == "/next"
        assert reader.response().status == 400
        assert reader.rest() == b""


def test_nothing_is_read_after_connection_close(server: Running, echo: Echo) -> None:
    """A request behind one that said ``Connection: close`` does not run."""
    before = len(echo.seen)
    with connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(get("/first", close=True) + get("/second"))
        response = reader.response()
        assert response.headers["connection"] == "close"
        assert reader.rest() == b""
    assert [scope["path"] for scope in echo.seen[before:]] == ["/first"]


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_upgrades_are_ignored(server: Running, upgrade: str) -> None:
    """RFC 9110 section 7.8: the request is answered in HTTP/1.1, and is the last."""
    extra = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"
    with connected(server.port) as connection:
        reader = Reader(connection)
        connection.sendall(get(extra=extra) + get("/second"))
        response = reader.response()
        assert response.status == 200
        assert response.headers["connection"] == "close"
        assert reader.rest() == b""


@pytest.mark.parametrize("loop", LOOPS)
def test_close_is_announced(loop: LoopName) -> None:
    """The server ends with close_notify: the client can tell an end from a truncation."""
    with serving(Echo(), loop=loop) as server, connected(server.port) as connection:
        connection.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        reader = Reader(connection)
        connection.sendall(get(close=True))
        assert reader.response().status == 200
        with pytest.raises(ClosedEarly):
            reader.response()
