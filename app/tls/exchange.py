"""One request and its answer: what ASGI's `receive` and `send` stand for on our connections.

Guarantees towards the application: the request is whole before it is called, so the first `receive`
returns all of it and the second waits until the client has gone or the answer is given. Towards the
client: one answer, head and body in one piece where they are given so, framed as its head says; no
header that would break out of its line. An application that fails before it answered is answered
for with 500; after that its connection ends. ASGI 3.0, RFC 9112.

Does not limit how long an application takes.
"""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

Message = Any
"""ASGI's: a dict whose members depend on its type."""
Application = Callable[
    [Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

logger = logging.getLogger("certbound.tls")

_STATUS = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in http.HTTPStatus
}
_BODILESS = (204, 304)
_FAILED = {
    "type": "http.response.start",
    "status": 500,
    "headers": ((b"content-length", b"0"), (b"connection", b"close")),
}
_END = {"type": "http.response.body"}
_GONE = {"type": "http.disconnect"}


class WrongAnswer(Exception):
    """The application's answer cannot be sent as it is."""


class Wire(Protocol):
    """What an answer is written to."""

    def write(self, data: bytes) -> None: ...  # noqa: D102 - asyncio's

    def close(self) -> None: ...  # noqa: D102 - asyncio's


class Exchange:
    """One request on its way through the application."""

    __slots__ = (
        "_closing",
        "_default_headers",
        "_drain",
        "_head",
        "_left",
        "_on_complete",
        "_over",
        "_taken",
        "_wire",
        "body",
        "complete",
        "disconnected",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        wire: Wire,
        drain: Callable[[], asyncio.Event | None],
        default_headers: list[tuple[bytes, bytes]],
        on_complete: Callable[[], None],
        *,
        keep_alive: bool,
    ) -> None:
        """`drain` returns what to wait for before more is written, if anything."""
        self.scope = scope
        self.body = bytearray()
        """What came of it so far; whole when `run` is called."""
        self.keep_alive = keep_alive
        """False: the connection ends with this answer, and the answer says so."""
        self.disconnected = False
        self.started = False
        """Its head was given."""
        self.complete = False
        """All of it was given."""
        self._wire = wire
        self._drain = drain
        self._default_headers = default_headers
        self._on_complete = on_complete
        self._taken = False
        self._over: asyncio.Event | None = None
        self._head = b""
        self._left: int | None = 0
        """Octets of the body still due; None: in chunks until the application ends it."""
        self._closing = False

    async def run(self, application: Application) -> None:
        """Have it answered. What goes wrong in there ends in 500, or the connection's end."""
        try:
            await application(self.scope, self.receive, self.send)
        except BaseException:
            logger.exception("the application failed")
            await self._fail()
            return
        if not self.complete and not self.disconnected:
            logger.error("the application gave no whole answer")
            await self._fail()

    def leave(self) -> None:
        """The client is gone."""
        self.disconnected = True
        if self._over is not None:
            self._over.set()

    async def receive(self) -> Message:
        """The whole request; after that only its end."""
        if not self._taken and not self.disconnected:
            self._taken = True
            return {"type": "http.request", "body": bytes(self.body), "more_body": False}
        if not self.disconnected and not self.complete:
            self._over = self._over or asyncio.Event()
            await self._over.wait()
        return _GONE

    async def send(self, message: Message) -> None:
        """The head, then the body in one piece or several.

        Raises:
            WrongAnswer: not in this order, or not as the head says.

        """
        if (writable := self._drain()) is not None:
            await writable.wait()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.started and not self.complete:
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise WrongAnswer(f"{kind} out of turn")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        lines: list[bytes] = []
        left, fields = None, [*self._default_headers, *headers]
        for name, value in fields:
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                left = int(value)
            elif name == b"transfer-encoding":
                raise WrongAnswer("the server frames its answers")
            elif name == b"connection" and value == b"close":
                self._closing = True
        text = b"".join(lines)
        if not text.count(b"\r") == text.count(b"\n") == len(fields) or b"\0" in text:
            raise WrongAnswer("a header breaks out of its line")
        if self._closing:
            self.keep_alive = False
        elif not self.keep_alive:
            text += b"connection: close\r\n"
        if self.scope["method"] == "HEAD" or status in _BODILESS:
            left = 0
        elif left is None:
            text += b"transfer-encoding: chunked\r\n"
        self._left = left
        self._head = b"%b%b\r\n" % (_STATUS[status], text)
        self.started = True

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self._left is not None:
            if self.scope["method"] == "HEAD":
                body = b""
            self._left -= len(body)
            if self._left < 0 or (self._left > 0 and not more):
                raise WrongAnswer("not as many octets as the head says")
            piece = body
        else:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                piece += b"0\r\n\r\n"
        self._wire.write(self._head + piece)
        self._head = b""
        if not more:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        if self._over is not None:
            self._over.set()
        if not self.keep_alive:
            self._wire.close()
        self._on_complete()

    async def _fail(self) -> None:
        if self.disconnected or self.complete:
            return
        if self.started:
            self._wire.close()
        else:
            await self.send(_FAILED)
            await self.send(_END)
