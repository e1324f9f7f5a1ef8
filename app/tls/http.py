"""HTTP/1.1 on top of `TlsConnection`, read by llhttp, for uvicorn's server.

Guarantees: an endpoint sees only whole requests, headers and body, within the caps and deadlines,
with exactly one Host, an origin-form target and one meaning (RFC 9112 sections 3.2, 6.3, 11.2);
whatever does not fit is answered here, once, in order, and the connection ends. Every request's
scope carries what the handshake brought (`app.tls.scope`). No HTTP/2, no WebSocket, no upgrade.
Does not limit how long an endpoint takes.
"""

import asyncio
from collections import deque
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.tls import refusals, request_rules, scope
from app.tls.connection import TlsConnection
from app.tls.deadlines import NEVER
from app.tls.exchange import Application, Exchange
from app.tls.limits import Limits
from app.tls.refusals import Refusal, Refused
from app.tls.request_rules import DECISIVE

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpProtocol:
    """The requests of one connection."""

    transport: TlsConnection

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits
    ) -> None:
        self.app = cast("Application", config.loaded_app)
        self.server_state = server_state
        self.app_state = app_state
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.limits = limits
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.running: Exchange | None = None
        """The request being answered."""
        self.waiting: deque[Exchange] = deque()
        """Whole requests behind it, pipelined. While there are any, nothing is read."""
        self.arriving: Exchange | None = None
        """The request whose headers are complete and whose body is not."""
        self.incoming = False
        """A request has begun and is not complete."""
        self.in_headers = True
        self.header_bytes = 0
        """Input since the last complete request, while headers are incomplete. A piece in which
        one request ends and the next begins counts whole."""
        self.piece = 0
        """Size of the piece of input being parsed."""
        self.framing = 0
        """Input since the headers of the arriving request that is no body: chunk sizes, chunk
        extensions, trailers. The piece in which the headers ended is not counted."""
        self.checked: dict[bytes, bytes] = {}
        """Those headers of the current request that decide what it means."""
        self.refusal: Refusal | None = None
        """How this connection will end, once what is running is answered. Input is ignored."""
        self.last_response = False
        """No further request after those already here."""
        self.stopping = False
        """The request that is arriving, or the next, will be the last."""
        self.writable: asyncio.Event | None = None
        """Where the client does not take what was sent: set once it did."""

    # -- called by the connection ------------------------------------------------------------

    def connection_made(self, transport: TlsConnection) -> None:
        """The handshake is complete."""
        self.server_state.connections.add(cast("Any", self))
        self.transport = transport
        self.common = scope.of_connection(transport, self.app_state)
        self.stopping = transport.handing_over
        transport.deadline = self.loop.time() + self.limits.headers

    def data_received(self, data: bytes) -> None:
        """Plaintext, at most one TLS record at a time."""
        if self.refusal is not None or self.last_response:
            return
        self.piece = len(data)
        if self.arriving is not None:
            self.framing += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # RFC 9110 section 7.8: an upgrade may be ignored. The parser stops here, so this
            # request is answered in HTTP/1.1 and is the last.
            self.last_response = True
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause.refusal if isinstance(cause, Refused) else refusals.MALFORMED)
        if self.in_headers:
            # Counted here too: the parser shows a header line only when it is complete.
            self.header_bytes += len(data)
            if self.header_bytes > self.limits.max_header_bytes:
                self.refuse(refusals.HEADERS_TOO_LARGE)
        elif self.framing > self.limits.max_header_bytes:
            # The parser keeps an unfinished trailer whole, and copies it with each piece.
            self.refuse(refusals.BODY_TOO_LARGE)

    def eof_received(self) -> bool:
        """The client will send no more; True while a response is due."""
        if self.running is None:
            return False
        self._end_after_those_here()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell every request on this connection that its client is gone."""
        self.server_state.connections.discard(cast("Any", self))
        for exchange in (self.running, *self.waiting):
            if exchange is not None:
                exchange.leave()
        self.waiting.clear()
        self.resume_writing()
        self.parser = None  # type: ignore[assignment]  # breaks a reference cycle; nothing is parsed after this

    def pause_writing(self) -> None:
        """The client does not take what was sent."""
        if self.writable is None:
            self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        """It took it."""
        writable, self.writable = self.writable, None
        if writable is not None:
            writable.set()

    def expire(self) -> None:
        """The deadline of the current phase has passed."""
        if self.running is not None:
            # The client waits behind its own pipelined request; the clock starts anew.
            self.transport.deadline = self.loop.time() + self.limits.headers
        elif self.incoming or self.header_bytes:
            self.refuse(refusals.TOO_SLOW)
        else:
            self.transport.close()

    # -- called by uvicorn's server ----------------------------------------------------------

    def shutdown(self) -> None:
        """Finish what is running, let a half-received request finish within `Limits.drain`."""
        if self.running is not None:
            self._end_after_those_here()
        elif self.incoming:
            self.stopping = True
            deadline = self.loop.time() + self.limits.drain
            self.transport.deadline = min(self.transport.deadline, deadline)
        else:
            self.transport.close()

    def hand_over(self) -> None:
        """Tell the client with the next response to connect anew; until then all stays as it is.

        An idle connection is left to its own deadline: ending it now could cross a request.
        """
        self.stopping = True
        if self.running is not None and not self.running.started:
            self._end_after_those_here()

    def refuse(self, refusal: Refusal) -> None:
        """Answer the current input with `refusal`, after all requests before it, and end."""
        if self.refusal is None:
            self.refusal = refusal
            if self.running is None:
                self._send_refusal(refusal)

    # -- called by the parser ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """First byte of a request."""
        self.url = b""
        self.headers = []
        self.checked.clear()
        self.header_bytes = max(self.header_bytes, 0)
        self.incoming = self.in_headers = True
        deadline = self.loop.time() + self.limits.headers
        self.transport.deadline = min(self.transport.deadline, deadline)

    def on_url(self, url: bytes) -> None:
        """The target, or a piece of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line, or a trailer, which is dropped: it came after the checks."""
        if not self.in_headers:
            return
        name = name.lower()
        if name in DECISIVE and self.checked.setdefault(name, value) is not value:
            raise Refused(refusals.MALFORMED)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse what has more than one meaning or is too large; else make the request."""
        self.in_headers = False
        self.framing = 0
        version = self.parser.get_http_version()
        self._check_size()
        upgrade = self.parser.should_upgrade()
        request_rules.check(version, self.url, self.checked, self.limits, upgrade=upgrade)
        self.arriving = Exchange(
            scope.of_request(
                self.common, version, self.parser.get_method(), self.url, self.headers
            ),
            self.transport,
            lambda: self.writable,
            self.server_state.default_headers,
            self.on_response_complete,
            keep_alive=(
                version == "1.1"
                and self.parser.should_keep_alive()
                and not upgrade
                and not self.stopping
            ),
        )
        self.transport.deadline = self.loop.time() + self.limits.body
        if self.checked.get(b"expect", b"").lower() == b"100-continue" and self.running is None:
            self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Part of the body, decoded."""
        if self.arriving is None:
            return
        self.framing -= len(body)
        self.arriving.body += body
        if len(self.arriving.body) > self.limits.max_body_bytes:
            raise Refused(refusals.BODY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """The request is whole: answer it, or queue it behind the one being answered."""
        exchange, self.arriving = self.arriving, None
        if exchange is None:
            return
        self.incoming = False
        self.in_headers = True
        self.header_bytes = -self.piece  # `data_received` adds it: it belongs to this request
        if self.running is None:
            self._start(exchange)
        elif len(self.waiting) >= self.limits.max_waiting:
            # One record holds hundreds of small requests, each of them some kilobytes of objects.
            raise Refused(refusals.TOO_MANY_WAITING)
        else:
            self.waiting.append(exchange)
            self.transport.pause_reading()

    # -- called by the response --------------------------------------------------------------

    def on_response_complete(self) -> None:
        """The last byte of a response was written: on to the next request, or the end."""
        self.server_state.total_requests += 1
        self.running = None
        self.transport.flush()
        if self.transport.is_closing():
            return
        if self.waiting:
            self._start(self.waiting.popleft())
            if not self.waiting:
                self.transport.resume_reading()
        elif self.refusal is not None:
            self._send_refusal(self.refusal)
        elif self.last_response:
            self.transport.close()
        elif not self.incoming:
            self.transport.deadline = self.loop.time() + self.limits.idle

    # -- inside ------------------------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self.running = exchange
        if not self.incoming:
            self.transport.deadline = NEVER
        task = self.loop.create_task(exchange.run(self.app))
        task.add_done_callback(self.server_state.tasks.discard)
        self.server_state.tasks.add(task)

    def _end_after_those_here(self) -> None:
        self.last_response = True
        last = self.waiting[-1] if self.waiting else self.running
        if last is not None:
            last.keep_alive = False

    def _send_refusal(self, refusal: Refusal) -> None:
        self.transport.write(refusal.response(self.server_state.default_headers))
        self.transport.close_lingering()

    def _check_size(self) -> None:
        """The exact cap, where what arrived since the last request may exceed it."""
        if self.header_bytes + self.piece > self.limits.max_header_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.max_header_bytes:
                raise Refused(refusals.HEADERS_TOO_LARGE)
