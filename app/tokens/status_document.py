"""A status list as resources fetch it: bits, packed and signed (Token Status List, sections 4, 5.1).

Follows draft-ietf-oauth-status-list-21 (June 2026; not an RFC yet). Guarantees one bit per token,
1 where it is revoked, counted from the least significant bit of the first octet; and a document
that ends `ttl` seconds after its bits were read, whoever keeps it and however. Not here: which
tokens are revoked, and how old a document may be that is given out again.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from app.jose import base64url
from app.jose.jwt import Signer

TYP = "statuslist+jwt"
MEDIA_TYPE = "application/statuslist+jwt"
_LEVEL = 9
"""The specification recommends the best compression there is."""


def bits(places: Iterable[int], size: int) -> bytes:
    """One bit for each of `size` tokens; those at `places` are 1."""
    found = bytearray(size // 8)
    for place in places:
        found[place >> 3] |= 1 << (place & 7)
    return bytes(found)


def packed(octets: bytes) -> str:
    """The `lst` member: base64url of the ZLIB stream."""
    return base64url.encode(zlib.compress(octets, _LEVEL)).decode()


@dataclass(frozen=True, slots=True)
class Document:
    """A signed list, ready to be sent."""

    body: bytes
    etag: str
    """Quoted."""
    signed_at: int
    ends_at: int
    kid: str


def signed(lst: str, *, uri: str, issuer: str, ttl: int, signer: Signer, now: int) -> Document:
    """The Status List Token over bits that were read at `now`.

    `exp` is what makes a revocation's delay a promise: without it a copy kept on the way would
    count for another `ttl` from the moment it is handed on.
    """
    claims = {
        "iss": issuer,
        "sub": uri,
        "iat": now,
        "exp": now + ttl,
        "ttl": ttl,
        "status_list": {"bits": 1, "lst": lst},
    }
    body = signer.typed(TYP).sign(claims)
    signature = body.rpartition(".")[2]
    return Document(body.encode(), f'"{signature[:43]}"', now, now + ttl, signer.kid)
