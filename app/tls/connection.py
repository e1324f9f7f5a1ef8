"""TLS between a TCP transport and an HTTP protocol, by a session in memory.

Guarantees, alike on asyncio and uvloop: the HTTP protocol exists only after a complete handshake;
a failed handshake is told to the client by an alert, never by a bare end of the connection; what
arrives together with the client's Finished is processed at once; nothing is read while the reader
or the client does not keep up; each phase has an absolute deadline; a client that sends bytes
without saying anything (key updates, empty records) is cut off. Does not judge certificates.

`TlsConnection` is both sides at once: asyncio's `Protocol` towards the socket and, with
`app.tls.sending`, its `Transport` towards HTTP. RFC 8446, RFC 5246.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol, cast

from OpenSSL import SSL

from app.counts import Handshake
from app.tls.admission import source_of
from app.tls.deadlines import NEVER
from app.tls.presented import Presented, read_certificates
from app.tls.sending import Phase, SendingHalf, Service
from app.tls.session import TlsSession

logger = logging.getLogger("certbound.tls")

# Largest record with its header (RFC 8446 section 5.2), twice: more input without a single byte
# of plaintext is a flood of key updates or empty records.
_QUIET_BYTES = 2 * (16 * 1024 + 256 + 5)


class ApplicationProtocol(Protocol):
    """What speaks through the connection once the handshake is complete."""

    def connection_made(self, transport: "TlsConnection") -> None: ...  # noqa: D102 - asyncio's

    def connection_lost(self, exc: Exception | None) -> None: ...  # noqa: D102 - asyncio's

    def data_received(self, data: bytes) -> None: ...  # noqa: D102 - asyncio's

    def eof_received(self) -> bool | None: ...  # noqa: D102 - asyncio's

    def pause_writing(self) -> None: ...  # noqa: D102 - asyncio's

    def resume_writing(self) -> None: ...  # noqa: D102 - asyncio's

    def expire(self) -> None:
        """The deadline that this protocol set has passed."""


class TlsConnection(SendingHalf, asyncio.Protocol):
    """One client, from accept to close."""

    def __init__(
        self, service: Service, make_application: Callable[[], ApplicationProtocol]
    ) -> None:
        super().__init__(service)
        self.presented: Presented
        """There once the handshake is complete, so for the application always."""
        self._make_application = make_application
        self._application: ApplicationProtocol | None = None
        self._source: str | None = None
        self._reading_paused = False
        self._client_slow = False
        self._client_done = False
        self._quiet = 0

    # -- towards the socket ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client was accepted: count it, start its handshake deadline."""
        self._raw = cast("asyncio.Transport", transport)  # uvloop's has all of it but the class
        self._service.sweeper.add(self)
        source = source_of(transport.get_extra_info("peername"))
        turned_away = self._why_not(source)
        if turned_away:
            self._service.counts.handshake(turned_away)
            self._turn_away()
            return
        self._source = source
        self._session = TlsSession(self._service.context)
        self.deadline = self._loop.time() + self._service.limits.handshake

    def data_received(self, data: bytes) -> None:
        """Ciphertext. After closing began it is dropped unread."""
        if self._phase is Phase.CLOSING or self._client_done:
            return
        self._quiet += len(data)
        try:
            self._session.feed(data)
            if self._phase is Phase.HANDSHAKE:
                self._shake_hands()
            if self._phase is Phase.OPEN:
                self._pump()
        except SSL.Error as error:
            self._fail(error)

    def eof_received(self) -> bool:
        """The client's TCP half is closed. True keeps ours open for a response still due."""
        if self._phase is not Phase.OPEN:
            return False
        return self._client_finished()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, whoever ended it."""
        if self._phase is Phase.HANDSHAKE:
            self._service.counts.handshake("stopping" if self._service.stopping else "gone")
        self._phase = Phase.LOST
        self.deadline = self.stall = NEVER
        self._outgoing.clear()
        self._service.sweeper.discard(self)
        if self._source is not None:
            self._service.admission.leave(self._source)
        application, self._application = self._application, None
        # The session and the application hold on to each other through this object: let go, so
        # that the memory is free now and not at some later garbage collection.
        with contextlib.suppress(AttributeError):  # none where the client was turned away
            del self._session
        if application is not None:
            application.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what was sent: stop producing, and stop reading from it."""
        self._client_slow = True
        self.stall = self._loop.time() + self._service.limits.idle
        self._apply_reading()
        if self._application is not None:
            self._application.pause_writing()

    def resume_writing(self) -> None:
        """The client took it."""
        self._client_slow = False
        self.stall = NEVER
        self._apply_reading()
        if self._application is not None:
            self._application.resume_writing()

    def expire(self) -> None:
        """A deadline has passed (called by the sweeper)."""
        if self._phase is Phase.HANDSHAKE:
            logger.debug("handshake not complete in time")
            self._service.counts.handshake("timeout")
            self._turn_away()
        elif self._phase is Phase.OPEN and self._application is not None and self.stall == NEVER:
            self._application.expire()
        else:
            self._raw.abort()

    def give_up_handshake(self) -> None:
        """The server is stopping: without a finished handshake there is nothing to wait for."""
        if self._phase is Phase.HANDSHAKE:
            self._raw.abort()

    # -- towards HTTP ------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """No more `data_received` after the piece being handled."""
        self._reading_paused = True
        self._apply_reading()

    def resume_reading(self) -> None:
        """Go on, first with what was decrypted or buffered meanwhile."""
        self._reading_paused = False
        self._apply_reading()

    def is_reading(self) -> bool:
        """Whether `data_received` may be called."""
        return self._phase is Phase.OPEN and not self._reading_paused

    def get_protocol(self) -> Any:
        """The HTTP protocol, once there is one."""
        return self._application

    # -- inside ------------------------------------------------------------------------------

    def _why_not(self, source: str) -> Handshake:
        """Why there is no handshake with this address now; empty, and counted, where there is."""
        service = self._service
        if service.stopping:
            return "stopping"
        if not service.admission.may_shake_hands(source):
            return "budget"
        return "" if service.admission.enter(source) else "connections"

    def _shake_hands(self) -> None:
        if not self._session.handshake():
            self._send_output()
            return
        self.presented = read_certificates(self._session, self._service.limits)
        self._phase = Phase.OPEN
        self._service.counts.handshake(tls_version=self._session.get_protocol_version_name())
        self.deadline = NEVER
        self._quiet = 0  # a chain above our limits is refused in HTTP, not for its size here
        if self._session.get_protocol_version() == SSL.TLS1_3_VERSION:
            # Only session tickets are left to be sent; they can share the response's packet.
            self._tickets_waiting = True
        else:
            self._send_output()
        self._application = self._make_application()
        self._application.connection_made(self)

    def _pump(self) -> None:
        """Hand over plaintext until there is no more or nobody wants it."""
        session, application = self._session, self._application
        assert application is not None  # noqa: S101 - phase OPEN implies it
        while self._phase is Phase.OPEN and not self._raw_paused:
            data = session.plaintext()
            if data is None:
                if self._quiet > _QUIET_BYTES:
                    raise SSL.Error("input without content")
                break
            if not data:
                self._client_finished()
                break
            self._quiet = 0
            application.data_received(data)
        if self._phase is Phase.OPEN and not self._tickets_waiting:
            self._send_output()

    def _pump_again(self) -> None:
        if self._phase is not Phase.OPEN or self._client_done:
            return
        try:
            self._pump()
        except SSL.Error as error:
            self._fail(error)

    def _apply_reading(self) -> None:
        paused = self._reading_paused or self._client_slow
        if self._phase is not Phase.OPEN or paused is self._raw_paused:
            return
        self._raw_paused = paused
        if self._raw.is_closing() or self._client_done:
            return
        if paused:
            self._raw.pause_reading()
        else:
            self._raw.resume_reading()
            # The session may hold records that came before the pause: no event will announce them.
            self._loop.call_soon(self._pump_again)

    def _client_finished(self) -> bool:
        """The client sent close_notify or closed its half; True while a response is due."""
        if self._client_done:
            return True
        self._client_done = True
        if self._application is not None and self._application.eof_received():
            return True
        self.close()
        return False
