"""Signed JWTs (RFC 7515 compact form, RFC 7519, RFC 9068): made fast, read strictly.

`Signer.sign` guarantees a token under one key and algorithm, with the protected header fixed.
`verify` guarantees that a key of the given set signed exactly these claims for this issuer and
audience, within their dates. Neither knows anything of revocation or of certificates: whether the
token's ``cnf`` belongs to the one who presents it is decided elsewhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from app.errors import Finding, Reason
from app.jose import base64url
from app.jose.algorithms import ALGORITHMS, PrivateKey
from app.jose.jwks import MAX_KID, VerificationKeys
from app.jose.strict_json import Members, parse_object

MAX_TOKEN = 16 * 1024
"""Characters. Ours have about 700; a larger one is not parsed at all."""
LEEWAY = 60
"""Seconds that clocks may differ (the tolerance RFC 9068 section 4 calls small)."""
MOST_LEEWAY = 300
"""Seconds that a resource may allow at most: so long after its end a token may still be accepted."""
LATEST = 253_402_300_799
"""9999-12-31T23:59:59Z: a later date is a mistake or an attack on somebody's arithmetic."""
FORBIDDEN_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"})
"""They bring a key, demand a fetch, or change what is signed (RFC 8725 sections 3.10, RFC 7797)."""
ACCESS_TOKEN = "at+jwt"  # noqa: S105  # a media type (RFC 9068 section 2.1), no password


class InvalidToken(Exception):
    """The token does not hold. `finding` says why, for operators; the wire never does."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.check}: {finding.seen}")
        self.finding = finding


class UnknownKey(InvalidToken):
    """The token names a key that is not in the set: a forgery, or the set is old."""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """The claims of a token that `verify` accepted; made nowhere else."""

    kid: str
    claims: Mapping[str, Any]


class Signer:
    """Signs with one key. Safe to share between threads; the private key does not show in repr."""

    __slots__ = ("_header", "_sign", "algorithm", "kid")

    def __init__(
        self, kid: str, algorithm: str, private_key: PrivateKey, typ: str = ACCESS_TOKEN
    ) -> None:
        row = ALGORITHMS[algorithm]
        if not row.fits(private_key.public_key()):
            raise ValueError(f"the key {kid} is not one for {algorithm}")
        self.kid = kid
        self.algorithm = algorithm
        self._sign = row.signer(private_key)
        self._header = _header(kid, algorithm, typ)

    def typed(self, typ: str) -> "Signer":
        """The same key, signing what is of another type."""
        other = object.__new__(Signer)
        other.kid, other.algorithm, other._sign = self.kid, self.algorithm, self._sign
        other._header = _header(self.kid, self.algorithm, typ)
        return other

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The compact token over `claims`, which must be plain JSON values."""
        signed = self._header + base64url.encode(_encode(claims).encode())
        return (signed + b"." + base64url.encode(self._sign(signed))).decode()


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _header(kid: str, algorithm: str, typ: str) -> bytes:
    """The protected header as it stands in the token, with the dot behind it."""
    return base64url.encode(_encode({"alg": algorithm, "typ": typ, "kid": kid}).encode()) + b"."


def verify(
    token: str | bytes,
    *,
    keys: VerificationKeys,
    algorithm: str,
    issuer: str,
    audience: str,
    now: int,
    typ: str = ACCESS_TOKEN,
    leeway: int = LEEWAY,
) -> VerifiedClaims:
    """The claims of `token`, if everything about it holds (RFC 9068 section 4, RFC 8725).

    `algorithm` is the one accepted ``alg``. ``exp`` is required; ``nbf`` and ``iat`` count where
    present; ``aud`` must be one string, as we issue it.

    Raises:
        InvalidToken: anything does not hold. Nothing else is raised, whatever `token` is.

    """
    verified = _signed(token, keys, algorithm, typ, MAX_TOKEN)
    _check_claims(verified.claims, issuer, audience)
    _check_dates(verified.claims, now, leeway)
    return verified


def verify_document(
    token: str | bytes,
    *,
    keys: VerificationKeys,
    algorithm: str,
    typ: str,
    now: int,
    at_most: int,
    leeway: int = LEEWAY,
) -> VerifiedClaims:
    """The claims of a signed document that is nobody's credential: a status list, for instance.

    As `verify`, but ``iss`` and ``aud`` are not looked at, and it may have `at_most` characters.

    Raises:
        InvalidToken: anything does not hold. Nothing else is raised, whatever `token` is.

    """
    verified = _signed(token, keys, algorithm, typ, at_most)
    _check_dates(verified.claims, now, leeway)
    return verified


def verify_issued(
    token: str | bytes, *, keys: VerificationKeys, issuer: str, now: int
) -> VerifiedClaims:
    """The claims of one of our own access tokens, whatever resource it is for: for the issuer only.

    As `verify`, but ``aud`` may be any one string, and the one accepted ``alg`` is that which the
    key it names was published for. Dates have the leeway too: another node of ours may have issued
    it. Whether it ended is the caller's to look at.

    Raises:
        InvalidToken: anything does not hold. Nothing else is raised, whatever `token` is.

    """
    kid = _take_apart(token, MAX_TOKEN).header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise _refusal("token kid", kid, "the kid of a published key")
    verified = _signed(token, keys, key.algorithm, ACCESS_TOKEN, MAX_TOKEN)
    audience = verified.claims.get("aud")
    _check_claims(verified.claims, issuer, audience if isinstance(audience, str) else "")
    _check_dates(verified.claims, now, LEEWAY)
    return verified


def _signed(
    token: str | bytes, keys: VerificationKeys, algorithm: str, typ: str, at_most: int
) -> VerifiedClaims:
    parts = _take_apart(token, at_most)
    header = parts.header
    _check_header(header, algorithm, typ)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise _refusal("token kid", "no usable kid", "the kid of a published key")
    key = keys.get(kid)
    if key is None:
        raise UnknownKey(_refusal("token kid", kid, "the kid of a published key").finding)
    if key.algorithm != algorithm:
        raise _refusal("token kid", kid, f"the kid of a published key for {algorithm}")
    try:
        genuine = JWSRegistry.algorithms[algorithm].verify(parts.signed, parts.signature, key.key)
    except (JoseError, ValueError):
        genuine = False
    if not genuine:
        raise _refusal("token signature", "not made by the key it names", "a genuine signature")
    return VerifiedClaims(kid, parts.claims)


def check_dates(verified: VerifiedClaims, now: int, leeway: int = LEEWAY) -> None:
    """Look at the dates again: a token that held a while ago may have ended since.

    Raises:
        InvalidToken: they do not hold at `now`.

    """
    _check_dates(verified.claims, now, leeway)


def unverified(token: str | bytes) -> tuple[Members, Members]:
    """Header and claims as anybody may have written them: to show, never to decide.

    Raises:
        InvalidToken: they cannot be read.

    """
    parts = _take_apart(token, MAX_TOKEN)
    return parts.header, parts.claims


def oversized(size: int, at_most: int = MAX_TOKEN) -> InvalidToken:
    """The refusal of a token of `size` characters, for whoever refuses before `verify`."""
    return _refusal("token size", f"{size} characters", f"at most {at_most}")


@dataclass(frozen=True, slots=True)
class _Parts:
    header: Members
    claims: Members
    signed: bytes
    signature: bytes


def _take_apart(token: str | bytes, at_most: int) -> _Parts:
    if len(token) > at_most:
        raise oversized(len(token), at_most)
    try:
        raw = token.encode("ascii") if isinstance(token, str) else bytes(token)
        header, payload, signature = raw.split(b".")
        return _Parts(
            header=parse_object(base64url.decode(header), at_most=at_most),
            claims=parse_object(base64url.decode(payload), at_most=at_most),
            signed=raw[: len(header) + 1 + len(payload)],
            signature=base64url.decode(signature),
        )
    except ValueError as error:
        raise _refusal(
            "token form", "not readable", "header.claims.signature, each base64url (RFC 7515)"
        ) from error


def _check_header(header: Members, algorithm: str, typ: str) -> None:
    if header.get("alg") != algorithm or algorithm not in ALGORITHMS:
        raise _refusal("token alg", header.get("alg"), algorithm)
    if present := sorted(FORBIDDEN_HEADERS & header.keys()):
        raise _refusal("token header", ", ".join(present), "none of these")
    seen = header.get("typ")
    if not isinstance(seen, str) or not seen.isascii():
        raise _refusal("token typ", seen, typ)
    if seen.lower().removeprefix("application/") != typ.lower():  # RFC 7515 section 4.1.9
        raise _refusal("token typ", seen, typ)


def _check_claims(claims: Mapping[str, Any], issuer: str, audience: str) -> None:
    if claims.get("iss") != issuer:
        raise _refusal("token iss", claims.get("iss"), issuer)
    if claims.get("aud") != audience:
        raise _refusal("token aud", claims.get("aud"), audience)


def _check_dates(claims: Mapping[str, Any], now: int, leeway: int) -> None:
    expires = _date(claims, "exp")
    if expires is None:
        raise _refusal("token exp", "absent", "a date")
    if expires <= now - leeway:
        raise _refusal("token exp", expires, f"later than {now}", Reason.EXPIRED)
    for name in ("nbf", "iat"):
        begins = _date(claims, name)
        if begins is not None and begins > now + leeway:
            raise _refusal(f"token {name}", begins, f"at most {now}", Reason.NOT_YET_VALID)


def _date(claims: Mapping[str, Any], name: str) -> int | None:
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int or not 0 <= value <= LATEST:  # bool is an int too, hence type()
        raise _refusal(f"token {name}", value, f"whole seconds, 0 to {LATEST}")
    return value


def _refusal(
    check: str, seen: object, expected: str, reason: Reason = Reason.REQUEST_MALFORMED
) -> InvalidToken:
    text = (
        seen if isinstance(seen, str) else ascii(seen) if isinstance(seen, int) else "not a string"
    )
    return InvalidToken(Finding(check, text[:80], expected, reason=reason))
