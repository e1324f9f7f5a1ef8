"""Which strings are tokens of this issuer: signed by a published key, complete, not yet ended.

Guarantees that a `Genuine` was made from a verified signature of an access token. Whether it is
still good is for the database to say (`app.tokens.introspect`). A token seen before costs one hash
and no signature check.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from app.binding import mtls
from app.jose import jwt
from app.jose.jwks import VerificationKeys
from app.jose.jwt import InvalidToken, VerifiedClaims
from app.store.tokens import TokenRow

REMEMBERED = 20_000
"""Verified tokens in memory, some 800 octets each."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """What one of our tokens says. Made by `OwnTokens` only."""

    jti: str
    client_id: str
    subject: str
    resource: str
    scope: str
    thumbprint: str
    kid: str
    issued_at: int
    expires_at: int

    def agrees(self, row: TokenRow) -> bool:
        """Whether the record says the same, member by member."""
        return bool(_members(self) == _members(row))


_members = attrgetter(*(member.name for member in fields(Genuine)))


class OwnTokens:
    """Reads tokens of one issuer and remembers those that held. For one thread."""

    def __init__(self, issuer: str, *, capacity: int = REMEMBERED) -> None:
        self._issuer = issuer
        self._capacity = capacity
        self._known: OrderedDict[bytes, Genuine] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def read(self, token: str, keys: VerificationKeys, now: int) -> Genuine | None:
        """What `token` says, if one of `keys` signed it and it has not ended; None for all else.

        What does not hold is never remembered: nobody can push the good ones out with rubbish.
        """
        if len(token) > jwt.MAX_TOKEN:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        found = self._known.get(digest)
        if found is not None and (found.expires_at <= now or keys.get(found.kid) is None):
            del self._known[digest]
            return None
        if found is None:
            found = self._verified(token, keys, now)
            if found is None:
                return None
            self._known[digest] = found
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(digest)
        return found

    def _verified(self, token: str, keys: VerificationKeys, now: int) -> Genuine | None:
        try:
            verified = jwt.verify_issued(token, keys=keys, issuer=self._issuer, now=now)
        except InvalidToken:
            return None
        found = _genuine(verified)
        return found if found is not None and found.expires_at > now else None


def _genuine(verified: VerifiedClaims) -> Genuine | None:
    """The claims as we write them; None where a member is missing or of another type."""
    claims = verified.claims
    cnf = claims.get("cnf")
    if not isinstance(cnf, dict) or cnf.keys() != {mtls.CONFIRMATION}:
        return None
    texts: list[Any] = [claims.get(name) for name in ("jti", "client_id", "sub", "aud")]
    texts += [claims.get("scope", ""), cnf[mtls.CONFIRMATION]]
    issued_at = claims.get("iat")
    if type(issued_at) is not int or not all(isinstance(text, str) for text in texts):
        return None
    jti, client_id, subject, resource, scope, thumbprint = texts
    return Genuine(
        jti=jti,
        client_id=client_id,
        subject=subject,
        resource=resource,
        scope=scope,
        thumbprint=thumbprint,
        kid=verified.kid,
        issued_at=issued_at,
        expires_at=claims["exp"],
    )
