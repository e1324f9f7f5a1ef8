"""The half of a connection that sends and ends: asyncio's transport as HTTP sees it.

Guarantees that what HTTP wrote goes out in order and before close_notify, that a failed session
still sends its alert, and that every way of ending is bounded in time (RFC 8446 section 6).
"""

import asyncio
import logging
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from app.counts import Counts, Handshake
from app.tls.admission import Admission
from app.tls.deadlines import NEVER, Sweeper
from app.tls.limits import Limits

if TYPE_CHECKING:
    from app.tls.session import TlsSession

logger = logging.getLogger("certbound.tls")

# More plaintext than this is sent before the event loop's next turn.
_COALESCE = 64 * 1024
# A fatal internal_error alert in the clear, for clients that are turned away before the server
# has said anything.
_ALERT = b"\x15\x03\x03\x00\x02\x02\x50"


class Phase(Enum):
    """Where a connection stands; it only ever moves downward."""

    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    """Nothing more is sent; what was written is on its way, input is discarded."""
    LOST = auto()


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
    handing_over: bool = False
    """Another process accepts now; each connection here gets one more answer."""
    counts: Counts = field(default_factory=Counts)


_WHY: tuple[tuple[str, Handshake], ...] = (
    ("alert", "alert"),
    ("http request", "not_tls"),
    ("wrong version number", "not_tls"),
    ("unsupported protocol", "version"),
    ("version too low", "version"),
    ("no shared cipher", "cipher"),
    ("no suitable", "cipher"),
)


def why(error: SSL.Error) -> Handshake:
    """OpenSSL's reason in one of our words; ``alert``: the client broke off."""
    text = str(error).lower()
    return next((each for part, each in _WHY if part in text), "protocol")


class SendingHalf(asyncio.Transport):
    """Everything of a connection but what it reads."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.deadline = NEVER
        """Set by the connection while shaking hands and closing, by HTTP in between."""
        self.stall = NEVER
        """When a client that does not take what was sent is given up."""
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.HANDSHAKE
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._flush_scheduled = False
        self._spoken = False
        """Whether anything was sent: after that an alert in the clear would mean nothing."""
        self._tickets_waiting = False
        """TLS 1.3: session tickets wait for the first response, to share its packet."""
        self._raw_paused = False
        self._raw: asyncio.Transport
        self._session: TlsSession

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

    @property
    def handing_over(self) -> bool:
        """Whether the next response is to be the last here."""
        return self._service.handing_over

    def is_closing(self) -> bool:
        """Whether writing is pointless."""
        return self._phase is not Phase.OPEN

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

    # -- for the other half ------------------------------------------------------------------

    def _send_output(self) -> None:
        """Send what the session itself has to say."""
        output = self._session.take()
        if output:
            self._spoken = True
            self._raw.write(output)

    def _fail(self, error: SSL.Error) -> None:
        """The session is broken: send the alert that OpenSSL wrote, and let the client read it."""
        if self._phase is Phase.LOST:
            return
        if self._phase is Phase.HANDSHAKE:
            self._service.counts.handshake(why(error))
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

    # -- inside ------------------------------------------------------------------------------

    def _collected(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_size = 0
        return data

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self.flush()

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

    def _linger(self) -> None:
        self._phase = Phase.CLOSING
        self.deadline = self._loop.time() + self._service.limits.linger
        if self._raw.is_closing():
            return
        if self._raw_paused:
            self._raw.resume_reading()
        self._raw.write_eof()
