"""Whether a token was revoked, by the status list it stands on (Token Status List, draft 21).

Guarantees: a list counts only from the issuer itself, below ``/status-lists/``, signed with its
key, about the URL it was fetched from and in date; a place that is not on it, or a list of another
kind, refuses the token. What was revoked is noticed within the list's ``ttl``, since a list ends
with its ``exp``. Where no newer one can be had, for an outage or a cache that hands out an old one,
it is used until `grace` seconds after its ``exp`` by this clock, then its tokens are refused. No URL elsewhere is ever fetched, whatever a token says.
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

from app.errors import Finding, Reason
from app.jose import base64url, jwt
from app.jose.document import Limits
from app.resource.kept import Kept, Loaded, patiently
from app.resource.keys import Fetch, IssuerKeys

MEDIA_TYPE: Final = "statuslist+jwt"
MAX_DOCUMENT: Final = 512 * 1024
"""Octets. A list of a million bits that looks random takes 230 KiB."""
MAX_LIST: Final = 256 * 1024
"""Octets when unpacked: two million places."""
MAX_LISTS: Final = 32
"""Kept at once, the least recently used dropped first."""
FRESH_FOR: Final = 60
"""Seconds, where a list has no ``ttl``."""
LONGEST: Final = 3600
"""Seconds: a longer ``ttl`` is cut to this."""
SHORTEST: Final = 5
"""Seconds: so that a clock that is wrong by a minute does not make every request fetch."""
RETRY_AFTER: Final = 2
"""Seconds between two fetches of one list."""

LIMITS = Limits(octets=MAX_DOCUMENT, content_types=frozenset({f"application/{MEDIA_TYPE}"}))
_LIST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class StatusLists:
    """The lists of one issuer. Any thread may ask."""

    def __init__(
        self,
        issuer: str,
        *,
        algorithm: str,
        keys: IssuerKeys,
        fetch: Fetch,
        now: Callable[[], int],
        grace: int,
    ) -> None:
        """`grace`: seconds a list is used beyond its time while no newer one can be had."""
        self._prefix = f"{issuer.rstrip('/')}/status-lists/"
        self._issuer = issuer
        self._algorithm = algorithm
        self._keys = keys
        self._fetch = fetch
        self._now = now
        self._grace = grace
        self._lock = Lock()
        self._lists: OrderedDict[str, Kept[bytes]] = OrderedDict()

    def require_valid(self, claims: Mapping[str, Any]) -> None:
        """Let a genuine token pass that was not revoked.

        Raises:
            InvalidToken: it was, or says nothing usable about its status.
            Wanting, OutOfReach: as `Kept.current`.

        """
        uri, index = self._place(claims)
        bits = self._kept(uri).current()
        octet, bit = divmod(index, 8)
        if octet >= len(bits):
            raise _refused("a place beyond the end of its list", "a place on the list")
        if bits[octet] >> bit & 1:
            raise _refused("revoked", "not revoked", Reason.REVOKED)

    def _place(self, claims: Mapping[str, Any]) -> tuple[str, int]:
        status = claims.get("status")
        reference = status.get("status_list") if isinstance(status, dict) else None
        uri = reference.get("uri") if isinstance(reference, dict) else None
        index = reference.get("idx") if isinstance(reference, dict) else None
        if not isinstance(uri, str) or type(index) is not int or index < 0:
            raise _refused("no place on a status list", "status_list with uri and idx")
        if not uri.startswith(self._prefix) or not _LIST_ID.fullmatch(uri[len(self._prefix) :]):
            raise _refused("a list that is not the issuer's", f"a list below {self._prefix}")
        return uri, index

    def _kept(self, uri: str) -> Kept[bytes]:
        with self._lock:
            kept = self._lists.get(uri)
            if kept is None:
                kept = self._lists[uri] = Kept(lambda: self._load(uri), self._now, RETRY_AFTER)
            self._lists.move_to_end(uri)
            if len(self._lists) > MAX_LISTS:
                self._lists.popitem(last=False)
            return kept

    def _load(self, uri: str) -> Loaded[bytes]:
        document = self._fetch(uri, LIMITS).body.strip()
        try:
            claims = patiently(lambda: self._verified(document)).claims
        except jwt.InvalidToken as error:
            raise ValueError(f"the status list does not hold: {error}") from error
        if claims.get("sub") != uri or claims.get("iss", self._issuer) != self._issuer:
            raise ValueError("the status list is about another URL, or of another issuer")
        if "iat" not in claims:
            raise ValueError("the status list does not say when it was made")
        bits = _unpack(claims.get("status_list"))
        ttl = claims.get("ttl", FRESH_FOR)
        if type(ttl) is not int or ttl <= 0:
            raise ValueError("the status list has a ttl that is no number of seconds")
        remaining = claims["exp"] - self._now()
        if remaining + self._grace <= 0:
            raise ValueError("the status list has ended")
        fresh_for = max(min(ttl, remaining, LONGEST), SHORTEST)
        usable_for = min(fresh_for, remaining) + self._grace
        return Loaded(bits, min(fresh_for, usable_for), usable_for)

    def _verified(self, document: bytes) -> jwt.VerifiedClaims:
        return self._keys.verify(
            lambda keys: jwt.verify_document(
                document,
                keys=keys,
                algorithm=self._algorithm,
                typ=MEDIA_TYPE,
                now=self._now(),
                at_most=MAX_DOCUMENT,
            )
        )


def _unpack(status_list: object) -> bytes:
    """The bits of a list of one bit per token, never more than `MAX_LIST` octets of them."""
    members = status_list if isinstance(status_list, dict) else {}
    packed = members.get("lst")
    if type(members.get("bits")) is not int or members["bits"] != 1 or not isinstance(packed, str):
        raise ValueError("the status list has not one bit per token")
    unpacker = zlib.decompressobj()
    try:
        bits = unpacker.decompress(base64url.decode(packed), MAX_LIST)
    except zlib.error as error:
        raise ValueError("the status list cannot be unpacked") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the status list is too large, cut off, or followed by something")
    return bits


def _refused(
    seen: str, expected: str, reason: Reason = Reason.REQUEST_MALFORMED
) -> jwt.InvalidToken:
    return jwt.InvalidToken(Finding("token status", seen, expected, reason=reason))
