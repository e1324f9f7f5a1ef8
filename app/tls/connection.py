"""TLS between a TCP transport and an HTTP protocol, by a session in memory.

Guarantees, alike on asyncio and uvloop: the HTTP protocol exists only after a complete handshake;
a failed handshake is told to the client by an alert, never by a bare end of the connection; what
arrives together with the client's Finished is processed at once; nothing is read while the reader
or the client does not keep up; each phase has an absolute deadline; a client that sends bytes
without saying anything (key updates, empty records) is cut off. Does not judge certificates.

`TlsConnection` is both sides at once: asyncio's `Protocol` towards the socket, its `Transport`
towards HTTP. RFC 8446; for closing section 6.1.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol, cast

from OpenSSL import SSL

from app.tls import presented
from app.tls.admission import Admission, source_of
from app.tls.deadlines import NEVER, Sweeper
from app.tls.limits import Limits
from app.tls.presented import Presented
from app.tls.session import TlsSession

logger = logging.getLogger("certbound.tls")

# Largest record with its header (RFC 8446 section 5.2), twice: more input without a single byte
# of plaintext is a flood of key updates or empty records.
_QUIET_BYTES = 2 * (16 * 1024 + 256 + 5)
# More plaintext than this is sent before the event loop's next turn.
_COALESCE = 64 * 1024
# A fatal internal_error alert in the clear (RFC 8446 section 6), for clients that are turned away
# before they have said anything.
_ALERT = b"\x15\x03\x03\x00\x02\x02\x50"


class Phase(Enum):
    """Where a connection stands; it only ever moves downward."""

    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    """Nothing more is sent; what was written is on its way, input is discarded."""
    LOST = auto()


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


@dataclass(slots=True)
class Service:
    """What the connections of one server share."""

    limits: Limits
    context: SSL.Context
    """Read at each new connection, so replacing it changes only later handshakes."""
    admission: Admission
    sweeper: Sweeper
    stopping: bool = False
    """Connections that come from now on are turned away."""


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """One client, from accept to close."""

    def __init__(
        self, service: Service, make_application: Callable[[], ApplicationProtocol]
    ) -> None:
        super().__init__()
        self.deadline = NEVER
        """Set by this class while shaking hands and closing, by the application in between."""
        self.stall = NEVER
        """When a client that does not take what was sent is given up."""
        self.presented: Presented | None = None
        self._service = service
        self._make_application = make_application
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.HANDSHAKE
        self._application: ApplicationProtocol | None = None
        self._source: str | None = None
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._flush_scheduled = False
        self._spoken = False
        self._tickets_waiting = False
        self._reading_paused = False
        self._raw_paused = False
        self._client_slow = False
        self._client_done = False
        self._quiet = 0
        self._raw: asyncio.Transport
        self._session: TlsSession

    # -- towards the socket ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client was accepted: count it, start its handshake deadline."""
        self._raw = cast("asyncio.Transport", transport)  # uvloop's has all of it but the class
        self._service.sweeper.add(self)
        source = source_of(transport.get_extra_info("peername"))
        if self._service.stopping or not self._service.admission.enter(source):
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
        self._phase = Phase.LOST
        self.deadline = self.stall = NEVER
        self._outgoing.clear()
        self._service.sweeper.discard(self)
        if self._source is not None:
            self._service.admission.leave(self._source)
        application, self._application = self._application, None
        # The session and the application hold on to each other through this object: let go, so
        # that the memory is free now and not at some later garbage collection.
        self.__dict__.pop("_session", None)
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
            self._turn_away()
        elif self._phase is Phase.OPEN and self._application is not None and self.stall == NEVER:
            self._application.expire()
        else:
            self._raw.abort()

    def stop_unless_open(self) -> None:
        """The server is stopping: a client without a finished handshake has nothing to wait for."""
        if self._phase is not Phase.OPEN:
            self._raw.abort()

    # -- towards HTTP ------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`. What is written in one turn of the event loop shares records and packets."""
        if self._phase is not Phase.OPEN or not data:
            return
        self._outgoing.append(bytes(data))
        self._outgoing_size += len(data)
        if self._outgoing_size >= _COALESCE:
            self.flush()
        elif not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_later)

    def flush(self) -> None:
        """Send now what `write` has collected."""
        if self._phase is not Phase.OPEN or not self._outgoing:
            return
        try:
            self._raw.write(self._session.encrypt(self._collected()))
            self._tickets_waiting = False
        except SSL.Error as error:
            self._fail(error)

    def close(self) -> None:
        """Send all that was written, then close_notify, then end the connection."""
        if self._finish():
            self.deadline = self._loop.time() + self._service.limits.flush
            self._raw.close()

    def close_lingering(self) -> None:
        """Like `close`, for a client that is still sending.

        A socket closed over unread input answers with a reset, and the client may never read what
        was written last. So input is discarded for a while.
        """
        if self._finish():
            self._linger()

    def abort(self) -> None:
        """End the connection at once; nothing more is sent."""
        if self._phase is not Phase.LOST:
            self._phase = Phase.CLOSING
            self._raw.abort()

    def is_closing(self) -> bool:
        """Whether writing is pointless."""
        return self._phase is not Phase.OPEN

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

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio's transports know, and ``sslcontext``."""
        if name == "sslcontext":
            return self._service.context
        return self._raw.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bytes of ciphertext at which writing pauses and resumes."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes written and not yet handed to the kernel."""
        return self._raw.get_write_buffer_size() + self._outgoing_size

    def can_write_eof(self) -> bool:
        """TLS has no half-closed sending side that HTTP could use."""
        return False

    def get_protocol(self) -> Any:
        """The HTTP protocol, once there is one."""
        return self._application

    # -- inside ------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        if not self._session.handshake():
            self._send_output()
            return
        self.presented = presented.read(self._session, self._service.limits)
        self._phase = Phase.OPEN
        self.deadline = NEVER
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

    def _collected(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_size = 0
        return data

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def _send_output(self) -> None:
        output = self._session.take()
        if output:
            self._spoken = True
            self._raw.write(output)

    def _finish(self) -> bool:
        """Write the last records and close_notify; False when there was nothing to end."""
        if self._phase is not Phase.OPEN:
            return False
        try:
            rest = self._session.encrypt(self._collected()) if self._outgoing else b""
            self._phase = Phase.CLOSING
            self._raw.write(rest + self._session.say_goodbye())
        except SSL.Error as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: SSL.Error) -> None:
        """The session is broken: send the alert that OpenSSL wrote, and let the client read it."""
        if self._phase is Phase.LOST:
            return
        logger.debug("connection ended in phase %s: %r", self._phase.name, error)
        alert = self._session.take()
        if not alert and not self._spoken:
            alert = _ALERT
        self._raw.write(alert)
        self._linger()

    def _turn_away(self) -> None:
        """End a connection that never got as far as a handshake."""
        self._phase = Phase.CLOSING
        if not self._spoken:
            self._raw.write(_ALERT)
        self.deadline = self._loop.time() + self._service.limits.linger
        self._raw.close()

    def _linger(self) -> None:
        self._phase = Phase.CLOSING
        self.deadline = self._loop.time() + self._service.limits.linger
        if self._raw.is_closing():
            return
        if self._raw_paused:
            self._raw.resume_reading()
        self._raw.write_eof()
