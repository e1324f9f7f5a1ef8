"""Looking at a token offline: what it says, whether we signed it, whose certificate it is bound to.

Guarantees that `genuine` is set only where a key of this home's database made the signature. Says
nothing about revocation anywhere but in this database.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app import clock
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.binding import mtls
from app.errors import Finding, Reason, Refused
from app.jose import jwt
from app.jose.jwks import ServerKey, VerificationKeys, server_jwks
from app.jose.jwt import InvalidToken
from app.store import signing_keys, tokens
from app.store.tokens import TokenRow
from app.tls.peer import PeerCertificate


@dataclass(frozen=True, slots=True)
class Inspected:
    """A token taken apart. Header and claims are as written by whoever made it."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signature: Finding | None
    """Whether it holds; None where there was nothing to verify it with."""
    binding: Finding | None
    """Whether it is bound to the given certificate; None where none was given."""
    record: TokenRow | None

    @property
    def problems(self) -> list[Finding]:
        """What does not hold."""
        return [f for f in (self.signature, self.binding) if f is not None and not f.passed]


def inspect(token: str, desk: Desk | None, certificate: bytes | None) -> Inspected:
    """Take a token apart; verify it with the keys of `desk`, compare it with `certificate` (DER).

    Raises:
        Problem: it cannot be read at all.

    """
    try:
        header, claims = jwt.unverified(token.strip())
    except InvalidToken as error:
        raise Problem(
            "this is no token that can be read",
            seen=f"{error.finding.check}: {error.finding.seen}",
            expected=error.finding.expected,
            action="Give the access_token member alone, or - to read it from standard input.",
        ) from error
    return Inspected(
        header,
        claims,
        signature=_signature(token.strip(), header, claims, desk) if desk else None,
        binding=_binding(claims, certificate) if certificate is not None else None,
        record=_record(claims, desk) if desk else None,
    )


def _signature(
    token: str, header: Mapping[str, Any], claims: Mapping[str, Any], desk: Desk
) -> Finding:
    with desk.db.read() as conn:
        rows = {row.kid: row for row in signing_keys.listed(conn)}
    row = rows.get(str(header.get("kid")))
    if row is None:
        return Finding(
            "signature",
            "made with a key that this home does not have",
            "the kid of one of its signing keys",
            "Inspect it where it was issued. Keys are forgotten after their last token expired.",
            Reason.REQUEST_MALFORMED,
        )
    key = ServerKey(row.kid, row.algorithm, json.loads(row.public_jwk))
    try:
        jwt.verify(
            token,
            keys=VerificationKeys.parse(server_jwks([key])),
            # The algorithm of our key, never the one the token names.
            algorithm=row.algorithm,
            issuer=desk.settings.issuer,
            # Which resource it is for is shown, not judged: each resource asks for its own.
            audience=str(claims.get("aud")),
            now=clock.now(),
        )
    except InvalidToken as error:
        if error.finding.check == "token iss":  # looked at after the signature only
            return _other_issuer(claims, desk)
        return error.finding
    return Finding("signature", f"genuine, made with the {row.state} key {row.kid}")


def _other_issuer(claims: Mapping[str, Any], desk: Desk) -> Finding:
    """Judged by the settings, which a server that was started with flags does not have."""
    return Finding(
        "issuer",
        f"iss {claims.get('iss')}",
        f"iss {desk.settings.issuer}, this home's issuer",
        "Where the server was started with --port or --issuer, say the same in certbound.toml.",
        Reason.REQUEST_MALFORMED,
    )


def _binding(claims: Mapping[str, Any], certificate: bytes) -> Finding:
    cnf = claims.get("cnf")
    peer = PeerCertificate(certificate, (), "", "")
    try:
        return mtls.check(cnf if isinstance(cnf, dict) else {}, peer)
    except Refused as refused:
        return refused.finding


def _record(claims: Mapping[str, Any], desk: Desk) -> TokenRow | None:
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti.isprintable():
        return None
    with desk.db.read() as conn:
        return tokens.find(conn, jti)
