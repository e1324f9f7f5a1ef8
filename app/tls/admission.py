"""How many connections are open, overall and per address, and how fast one address opens them."""

import ipaddress
from collections import Counter

from app.rates import Rates
from app.tls.limits import Limits

_PREFIX_BITS = 64


class Admission:
    """Counts open connections against `Limits`. One per server process; not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total = 0
        self._by_source: Counter[str] = Counter()
        self._handshakes = Rates(limits.handshakes_per_address)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._total

    def may_shake_hands(self, source: str) -> bool:
        """Count a handshake; False where the address has begun too many of late."""
        return self._handshakes.take(source)

    def enter(self, source: str) -> bool:
        """Count a new connection; False, and nothing counted, where a cap is reached."""
        if (
            self._total >= self._limits.max_connections
            or self._by_source[source] >= self._limits.max_connections_per_address
        ):
            if not self._by_source[source]:
                del self._by_source[source]
            return False
        self._total += 1
        self._by_source[source] += 1
        return True

    def leave(self, source: str) -> None:
        """Take back one successful `enter`."""
        self._total -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


def source_of(peername: object) -> str:
    """Whose connections are counted together: an IPv4 address, or the /64 of an IPv6 one.

    A single IPv6 customer commonly holds a whole /64.
    """
    if not isinstance(peername, tuple) or not peername:
        return "unknown"
    address = str(peername[0])
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, _PREFIX_BITS), strict=False))
