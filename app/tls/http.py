"""HTTP/1.1 on top of `TlsConnection`: uvicorn's httptools protocol, made strict.

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
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.tls import refusals, request_rules, scope
from app.tls.connection import TlsConnection
from app.tls.deadlines import NEVER
from app.tls.limits import Limits
from app.tls.refusals import Refusal, Refused
from app.tls.request_rules import DECISIVE

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpProtocol(HttpToolsProtocol):
    """The requests of one connection."""

    transport: TlsConnection

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        # uvicorn lets data after a "Connection: close" request pass as a further request.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.limits = limits
        self.running: RequestResponseCycle | None = None
        """The request being answered."""
        self.waiting: deque[RequestResponseCycle] = deque()
        """Whole requests behind it, pipelined."""
        self.arriving: RequestResponseCycle | None = None
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

    # -- called by the connection ------------------------------------------------------------

    def connection_made(self, transport: TlsConnection) -> None:  # type: ignore[override]  # never another kind
        """The handshake is complete."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
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

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn returns nothing
        """The client will send no more; True while a response is due."""
        if self.running is None:
            return False
        self._end_after_those_here()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell every request on this connection that its client is gone."""
        self.connections.discard(self)
        for cycle in (self.running, *self.waiting):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.waiting.clear()
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]  # breaks a reference cycle; nothing is parsed after this

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
        if self.running is not None and not self.running.response_started:
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
        self.arriving = RequestResponseCycle(
            scope=cast(
                "Any",
                scope.of_request(
                    self.common, version, self.parser.get_method(), self.url, self.headers
                ),
            ),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=(
                version == "1.1"
                and self.parser.should_keep_alive()
                and not upgrade
                and not self.stopping
            ),
            on_response=self.on_response_complete,
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
        cycle, self.arriving = self.arriving, None
        if cycle is None:
            return
        self.incoming = False
        self.in_headers = True
        self.header_bytes = -self.piece  # `data_received` adds it: it belongs to this request
        cycle.more_body = False
        cycle.message_event.set()
        if self.running is None:
            self._start(cycle)
        elif len(self.waiting) >= self.limits.max_waiting:
            # One record holds hundreds of small requests, each of them some kilobytes of objects.
            raise Refused(refusals.TOO_MANY_WAITING)
        else:
            self.waiting.append(cycle)
            self.flow.pause_reading()

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
        elif self.refusal is not None:
            self._send_refusal(self.refusal)
        elif self.last_response:
            self.transport.close()
        else:
            if not self.incoming:
                self.transport.deadline = self.loop.time() + self.limits.idle
            self.flow.resume_reading()

    # -- inside ------------------------------------------------------------------------------

    def _start(self, cycle: RequestResponseCycle) -> None:
        self.running = cycle
        if not self.incoming:
            self.transport.deadline = NEVER
        self._start_asgi_task(cycle, self.app)

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
