"""The only way from a decision to a token: bind, record, then sign.

A token is signed after its record and its audit entry were committed, so no signed token exists
that the store does not know (promise 2 of the house).
"""

import os
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from app import clock
from app.audit import CertificateEvidence, TokenIssued
from app.binding import BINDINGS
from app.jose.jwt import Signer
from app.pki.check import TrustedCertificate
from app.store.status_lists import StatusListRow
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse
from app.tokens.model import Issue, TokenResponse
from app.tokens.status import Place

TOKEN_TYPE = "Bearer"  # noqa: S105 - RFC 8705 section 3: a bound token keeps this type


@dataclass(frozen=True, slots=True)
class Issuance:
    """A token about to be recorded: its claims, the key that will sign them, row and audit entry."""

    claims: dict[str, Any]
    signer: Signer
    token: TokenRow
    event: TokenIssued
    use: CertificateUse
    status_list: StatusListRow
    revokes: None = None


def evidence(trusted: TrustedCertificate) -> CertificateEvidence:
    """A trusted certificate as the audit names it."""
    return CertificateEvidence(
        thumbprint=trusted.peer.thumbprint,
        subject=trusted.subject,
        issuer=trusted.issuer,
        serial=trusted.serial,
        not_after=trusted.not_after,
        trust_set=trusted.trust_set,
        tls_version=trusted.peer.tls_version,
        cipher=trusted.peer.cipher,
        termination=trusted.peer.termination,
    )


def new_jti() -> str:
    """A token identifier: unique without asking the store (96 random bits in its millisecond).

    It begins with the time, as `iat` tells anyway, because ascending keys cost the store half: new
    rows land on one page of the index instead of anywhere in it.
    """
    return f"{clock.now_ms():012x}{urlsafe_b64encode(os.urandom(12)).decode()}"


def prepare(
    issue: Issue,
    *,
    issuer: str,
    signer: Signer,
    status: Place,
    now: int,
    doubts: str | None = None,
) -> Issuance:
    """The claims (RFC 9068 section 2.2) and records for `issue`, bound to its certificate.

    `exp` never lies beyond the certificate's notAfter: the token would be unusable there.
    `status` is the token's place on a status list, used for no other token. `doubts` is what was
    not known about the certificate's revocation, for the audit.
    """
    trusted = issue.client.certificate
    client_id = issue.client.client.client_id
    expires_at = min(now + issue.lifetime, trusted.not_after)
    jti = new_jti()
    scope = " ".join(issue.scope)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": issue.subject,
        "aud": issue.resource,
        "client_id": client_id,
        "iat": now,
        "exp": expires_at,
        "jti": jti,
        "cnf": BINDINGS[issue.confirmation].confirmation(trusted.peer),
        "status": {"status_list": {"idx": status.index, "uri": status.uri}},
    }
    if scope:
        claims["scope"] = scope
    token = TokenRow(
        jti=jti,
        client_id=client_id,
        subject=issue.subject,
        resource=issue.resource,
        scope=scope,
        thumbprint=trusted.peer.thumbprint,
        kid=signer.kid,
        issued_at=now,
        expires_at=expires_at,
        revoked_at=None,
        status_list=status.list.id,
        status_index=status.index,
    )
    event = TokenIssued(
        decision="issued",
        client_id=client_id,
        certificate=evidence(trusted),
        jti=jti,
        resource=issue.resource,
        grant_type=issue.grant_type,
        method=issue.client.client.token_endpoint_auth_method,
        mechanisms=("client_authentication", "token_binding"),
        confirmation=issue.confirmation,
        token_type=TOKEN_TYPE,
        subject=issue.subject,
        scope=scope,
        issued_at=now,
        expires_at=expires_at,
        kid=signer.kid,
        crossings=issue.crossings or None,
        revocation=doubts,
    )
    use = use_of(trusted, client_id, now, issue.resource)
    return Issuance(claims, signer, token, event, use, status.list)


def use_of(
    trusted: TrustedCertificate, client_id: str, at: int, resource: str | None = None
) -> CertificateUse:
    """That the client authenticated with this certificate, and what it got a token for, if it did."""
    facts = trusted.facts
    return CertificateUse(
        client_id,
        trusted.peer.thumbprint,
        facts.subject,
        facts.issuer,
        facts.serial,
        facts.spki_sha256,
        facts.not_before,
        facts.not_after,
        trusted.trust_set,
        at,
        resource,
        facts.tbs_sha256,
    )


def complete(issuance: Issuance) -> TokenResponse:
    """Sign an issuance. The caller has seen its record committed; this function cannot check that."""
    return TokenResponse(
        access_token=issuance.signer.sign(issuance.claims),
        token_type=TOKEN_TYPE,
        expires_in=issuance.token.expires_at - issuance.token.issued_at,
        scope=issuance.token.scope,
    )
