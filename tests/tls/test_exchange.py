"""One request and its answer, between an application and the wire."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.tls.exchange import Exchange

Application = Callable[[Any, Any, Any], Awaitable[None]]
DATE = (b"date", b"today")
LENGTH = (b"content-length", b"5")


class Wire:
    """What was written, and whether it was closed after that."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.pieces = 0

    def write(self, data: bytes) -> None:
        """Keep it."""
        assert not self.closed
        self.written += data
        self.pieces += 1

    def close(self) -> None:
        """Keep that, too."""
        self.closed = True


def answered(
    application: Application, *, method: str = "GET", body: bytes = b"", keep_alive: bool = True
) -> tuple[Wire, Exchange]:
    """What the application's answer became, and the exchange after it."""
    wire, ends = Wire(), []
    exchange = Exchange(
        {"method": method},
        wire,
        lambda: None,
        [DATE],
        lambda: ends.append(True),
        keep_alive=keep_alive,
    )
    exchange.body += body
    asyncio.run(exchange.run(application))
    assert len(ends) == exchange.complete
    return wire, exchange


def answer(*headers: tuple[bytes, bytes], status: int = 200, body: bytes = b"hello") -> Application:
    """An application that answers so, whatever is asked."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def test_an_answer_leaves_in_one_piece() -> None:
    """Status, the server's headers, the application's, the body; the connection stays."""
    wire, exchange = answered(answer(LENGTH, (b"x-a", b"b")))
    head = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\nx-a: b\r\n\r\n"
    assert (wire.written, wire.pieces) == (head + b"hello", 1)
    assert exchange.complete
    assert not wire.closed


def test_the_last_answer_says_so_once() -> None:
    """Whether the connection or the application ends it."""
    for headers, keep_alive in (((LENGTH,), False), ((LENGTH, (b"connection", b"close")), True)):
        wire, _ = answered(answer(*headers), keep_alive=keep_alive)
        assert wire.written.count(b"connection: close\r\n") == 1
        assert wire.closed


def test_an_answer_to_head_has_no_body() -> None:
    """Its length is told all the same."""
    wire, exchange = answered(answer(LENGTH), method="HEAD")
    assert wire.written.endswith(b"content-length: 5\r\n\r\n")
    assert exchange.complete


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_is_not_framed(status: int) -> None:
    """Neither a length nor chunks."""
    wire, exchange = answered(answer(status=status, body=b""))
    assert wire.written.endswith(b"date: today\r\n\r\n")
    assert exchange.complete


def test_an_answer_of_unknown_length_goes_in_chunks() -> None:
    """Empty pieces end nothing."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for piece in (b"one", b"", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    wire, _ = answered(app)
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head.endswith(b"transfer-encoding: chunked")
    assert body == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nset-cookie: c"),
        (b"x-a", b"b\nc"),
        (b"x-a", b"b\rc"),
        (b"x\r\na", b"b"),
        (b"x-a", b"\0"),
        (b"transfer-encoding", b"chunked"),
    ],
)
@pytest.mark.usefixtures("quiet")
def test_no_header_breaks_out_of_its_line(header: tuple[bytes, bytes]) -> None:
    """Such an answer is 500, and nothing of the header leaves."""
    wire, _ = answered(answer(LENGTH, header))
    assert wire.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert wire.closed
    assert b"cookie" not in wire.written


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged on purpose is not shown."""
    caplog.set_level(logging.CRITICAL, "certbound.tls")


@pytest.mark.parametrize("body", [b"hell", b"hello!"])
@pytest.mark.usefixtures("quiet")
def test_a_body_of_another_length_ends_the_connection(body: bytes) -> None:
    """The client must not take the next answer for the rest of this one."""
    wire, exchange = answered(answer(LENGTH, body=body))
    assert wire.closed
    assert wire.written == b""
    assert not exchange.complete


@pytest.mark.usefixtures("quiet")
def test_who_fails_before_the_head_is_answered_for() -> None:
    """A failure, no answer at all, and a body first: 500 each."""

    async def fails(*_: Any) -> None:
        raise RuntimeError("a mistake")

    async def silent(*_: Any) -> None:
        pass

    async def headless(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": b"hello"})

    for app in (fails, silent, headless):
        wire, _ = answered(app)
        assert wire.written.startswith(b"HTTP/1.1 500 ")
        assert wire.closed


@pytest.mark.usefixtures("quiet")
def test_who_fails_in_the_middle_ends_the_connection() -> None:
    """Nothing is made up after what left."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [LENGTH]})
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})

    wire, _ = answered(app)
    assert wire.written.endswith(b"\r\n\r\nhel")
    assert wire.closed


def test_the_request_is_received_whole_and_once() -> None:
    """After it only that the client has gone, or that the answer was given."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(await receive())
        await answer(LENGTH)(scope, receive, send)
        got.append(await receive())

    answered(app, body=b"question")
    assert got == [
        {"type": "http.request", "body": b"question", "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_an_application_hears_that_its_client_has_gone() -> None:
    """While it waits for that; what it sends afterwards goes nowhere."""

    async def scenario() -> Wire:
        wire = Wire()
        exchange = Exchange(
            {"method": "GET"}, wire, lambda: None, [], lambda: None, keep_alive=True
        )

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            await answer(LENGTH)(scope, receive, send)

        running = asyncio.ensure_future(exchange.run(app))
        await asyncio.sleep(0)
        exchange.leave()
        await running
        return wire

    assert asyncio.run(scenario()).written == b""
