"""A refusal: the error that is told, and the audit entry with what was seen.

Guarantees: what a stranger sent is cut to `MAX_RECORDED` before it enters an entry, and where it is
no certificate, it enters without the secrets that `without_secrets` knows. Not here: whether it is
written down (`app.endpoints.gathering`) and how it is answered (`app.endpoints.door`).
"""

from dataclasses import dataclass, replace

from app.audit import CertificateEvidence, FindingRecord, RequestRefused, new_ref
from app.clients.authentication import Credentials
from app.errors import Examination, Finding, OAuthError
from app.pki import check
from app.tls.peer import PeerCertificate
from app.unsaid import without_secrets

MAX_RECORDED = 500
"""Characters of anything a stranger sent that one audit member may hold."""
MAX_CLIENT_ID = 255
"""Of a claimed client_id: as long as a registered one may be, too short for a token pasted there."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal about to be recorded; it has no token."""

    error: OAuthError
    event: RequestRefused
    token: None = None
    use: None = None
    status_list: None = None
    revokes: None = None


def refused(
    path: str,
    error: OAuthError,
    exam: Examination,
    presented: Credentials | None,
    method: str | None = None,
) -> Refusal:
    """A refusal with its audit entry; what was seen goes there, cut to `MAX_RECORDED`."""
    findings = exam.findings or [error.finding]
    if error.finding not in findings:
        findings = [*findings, error.finding]
    named = presented.unverified_client_id if presented else ""
    client_id = without_secrets(named[:MAX_CLIENT_ID])[:MAX_CLIENT_ID]
    event = RequestRefused(
        decision="refused",
        reason=error.finding.reason.value if error.finding.reason else None,
        ref=new_ref(),
        client_id=client_id or None,
        certificate=_evidence(presented.peer) if presented and presented.peer else None,
        endpoint=path,
        error=error.error,
        status=error.status,
        method=method,
        findings=tuple(_record(f) for f in findings),
    )
    return Refusal(error, event)


def _record(finding: Finding) -> FindingRecord:
    return FindingRecord(
        check=finding.check,
        seen=without_secrets(finding.seen[:MAX_RECORDED]),
        expected=finding.expected[:MAX_RECORDED],
        action=finding.action[:MAX_RECORDED],
        reason=finding.reason.value if finding.reason else None,
    )


def _evidence(peer: PeerCertificate) -> CertificateEvidence:
    return evidence_of(
        peer.der,
        thumbprint=peer.thumbprint,
        tls_version=peer.tls_version,
        cipher=peer.cipher,
        termination=peer.termination,
    )


def evidence_of(
    der: bytes,
    *,
    thumbprint: str,
    termination: str,
    tls_version: str | None = None,
    cipher: str | None = None,
) -> CertificateEvidence:
    """A certificate nobody judged, as the audit names it: by its thumbprint alone if unreadable."""
    known = CertificateEvidence(
        thumbprint=thumbprint, tls_version=tls_version, cipher=cipher, termination=termination
    )
    try:
        facts = check.describe(der)
    except ValueError:
        return known
    return replace(
        known,
        subject=facts.subject[:MAX_RECORDED],
        issuer=facts.issuer[:MAX_RECORDED],
        serial=facts.serial[:MAX_RECORDED],
        not_after=facts.not_after,
    )
