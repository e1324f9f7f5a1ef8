"""What is said about a token, to whom (RFC 7662), and whose certificate it came with.

Guarantees: an answer is about a token that is genuine, recorded and good at that moment, given to
a client that may look at it; for everything else there is one answer, `INACTIVE`. Decisions only:
who asks was proven elsewhere, and the record was read elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.audit import CertificateEvidence, TokenPresented, new_ref
from app.binding import BINDINGS, mtls
from app.clients.authentication import AuthenticatedClient
from app.clients.model import Client
from app.clients.registry import Registry
from app.errors import Reason, Refused
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse
from app.tokens.genuine import Genuine
from app.tokens.issue import TOKEN_TYPE, use_of

INACTIVE: Mapping[str, Any] = {"active": False}
"""Unknown, foreign, ended, revoked, or not for the eyes of who asks: nobody learns which."""

Verdict = Literal["holder", "other_certificate", "no_certificate"]


def visible(caller: Client, genuine: Genuine) -> bool:
    """Whether `caller` may look at the token: its own, its resources', or all, as registered."""
    return (
        caller.sees_all
        or genuine.client_id == caller.client_id
        or genuine.resource in caller.serves
    )


def may_report(caller: Client, genuine: Genuine) -> bool:
    """Whether `caller` may say which certificate the token came with: its resource, or who sees all.

    Not the client whose token it is: it would put certificates of others into the audit at will.
    """
    return caller.sees_all or genuine.resource in caller.serves


def is_good(registry: Registry, genuine: Genuine, row: TokenRow, now: int) -> bool:
    """Whether the token counts: recorded as it stands, not revoked, its client and certificate in force."""
    client = registry.client(row.client_id)
    return (
        genuine.agrees(row)
        and row.revoked_at is None
        and row.expires_at > now
        and client is not None
        and not client.disabled
        and row.thumbprint not in registry.denied.thumbprints
        and registry.keys.published.get(row.kid) is not None
    )


def active(issuer: str, row: TokenRow) -> dict[str, Any]:
    """The members of RFC 7662 section 2.2 for a token that is good."""
    members: dict[str, Any] = {
        "active": True,
        "iss": issuer,
        "sub": row.subject,
        "client_id": row.client_id,
        "aud": row.resource,
        "iat": row.issued_at,
        "exp": row.expires_at,
        "jti": row.jti,
        "token_type": TOKEN_TYPE,
        "cnf": {mtls.CONFIRMATION: row.thumbprint},
    }
    if row.scope:
        members["scope"] = row.scope
    return members


@dataclass(frozen=True, slots=True)
class Observed:
    """What a resource's server saw on the connection that the token came with."""

    evidence: CertificateEvidence | None
    """None: it saw no certificate."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A verdict about to be recorded."""

    event: TokenPresented
    use: CertificateUse
    verdict: Verdict
    token: None = None
    status_list: None = None
    revokes: None = None

    def members(self, issuer: str, row: TokenRow) -> dict[str, Any]:
        """The answer: nothing but the verdict where the token came from anybody but its holder.

        `active` is false then, so that a caller which reads nothing else is safe.
        """
        said = active(issuer, row) if self.verdict == "holder" else dict(INACTIVE)
        return said | {"certificate_verdict": self.verdict}


def present(caller: AuthenticatedClient, row: TokenRow, observed: Observed, now: int) -> Presented:
    """The verdict on a good token, and what is written down of it."""
    seen = observed.evidence
    verdict, reason = verdict_on(row.thumbprint, seen.thumbprint if seen else None)
    event = TokenPresented(
        decision="accepted" if reason is None else "refused",
        reason=reason.value if reason else None,
        ref=None if reason is None else new_ref(),
        client_id=row.client_id,
        certificate=seen,
        jti=row.jti,
        resource=row.resource,
        reporter=caller.client.client_id,
        verdict=verdict,
        confirmation=mtls.CONFIRMATION,
        bound_to=row.thumbprint,
    )
    use = use_of(caller.certificate, caller.client.client_id, now)
    return Presented(event, use, verdict)


def verdict_on(bound_to: str, seen: str | None) -> tuple[Verdict, Reason | None]:
    """How somebody with the certificate `seen` stands to a token, by thumbprints; None: no certificate."""
    try:
        BINDINGS[mtls.CONFIRMATION].compare({mtls.CONFIRMATION: bound_to}, seen)
    except Refused as refused:
        reason = refused.finding.reason
        return ("no_certificate" if seen is None else "other_certificate"), reason
    return "holder", None
