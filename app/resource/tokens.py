"""Genuine tokens: signature, issuer, audience and dates, judged here with the issuer's keys.

Guarantees that the claims were signed by the issuer for this audience and are in date. A signature
that was verified is remembered for as long as the same keys count; dates are looked at each time.
Nothing else is remembered: neither binding, status nor scope, which belong to the request.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final, Protocol

from app.errors import Finding, Reason
from app.jose import jwt
from app.jose.jwks import VerificationKeys
from app.resource.certificate import Presented
from app.resource.keys import IssuerKeys
from app.resource.status import StatusLists

REMEMBERED: Final = 4096
"""Tokens: some 10 MiB. One per client and resource is in use at a time."""


_REQUIRED: Final = ("sub", "client_id", "jti")
"""RFC 9068 section 2.2."""
_MALFORMED: Final = Reason.REQUEST_MALFORMED


class Tokens(Protocol):
    """A way to learn whether a token is genuine and what it says."""

    def claims(self, token: bytes, presented: Presented) -> Mapping[str, Any]:
        """What a genuine token for this audience says.

        The binding is not judged by it. `presented` is there to be told to who asks elsewhere.

        Raises:
            InvalidToken: it is not one.
            Wanting: it cannot be told before something was fetched.
            OutOfReach: it cannot be told for the moment.

        """

    def require_live(self, claims: Mapping[str, Any]) -> None:
        """Let it pass where it was not revoked; raises as `claims`."""


class SignedTokens:
    """Tokens verified by their signature."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithm: str,
        leeway: int,
        keys: IssuerKeys,
        status: StatusLists | None,
        now: Callable[[], int],
    ) -> None:
        """`status`: None where revocation is not looked at."""
        self._issuer, self._audience, self._algorithm = issuer, audience, algorithm
        self._leeway = leeway
        self._keys = keys
        self._status = status
        self._now = now
        self._lock = Lock()
        self._remembered: OrderedDict[bytes, tuple[VerificationKeys, jwt.VerifiedClaims]] = (
            OrderedDict()
        )

    def claims(self, token: bytes, presented: Presented) -> Mapping[str, Any]:  # noqa: ARG002  # see `Tokens`
        """As `Tokens.claims`."""
        if len(token) > jwt.MAX_TOKEN:  # before it is hashed
            raise jwt.oversized(len(token))
        return self._keys.verify(lambda keys: self._verified(token, keys)).claims

    def require_live(self, claims: Mapping[str, Any]) -> None:
        """As `Tokens.require_live`."""
        if self._status is not None:
            self._status.require_valid(claims)

    def _verified(self, token: bytes, keys: VerificationKeys) -> jwt.VerifiedClaims:
        digest, now = hashlib.sha256(token).digest(), self._now()
        with self._lock:
            known_with, known = self._remembered.get(digest, (None, None))
            if known is not None:
                self._remembered.move_to_end(digest)
        if known is not None and known_with is keys:
            jwt.check_dates(known, now, self._leeway)
            return known
        verified = jwt.verify(
            token,
            keys=keys,
            algorithm=self._algorithm,
            issuer=self._issuer,
            audience=self._audience,
            now=now,
            leeway=self._leeway,
        )
        if not all(isinstance(verified.claims.get(name), str) for name in _REQUIRED):
            raise jwt.InvalidToken(
                Finding("token claims", "one is missing", ", ".join(_REQUIRED), "", _MALFORMED)
            )
        with self._lock:
            self._remembered[digest] = keys, verified
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return verified
