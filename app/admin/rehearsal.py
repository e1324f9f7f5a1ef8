"""A change of certificate, rehearsed: would the new one do, what becomes of the tokens, in what order.

Guarantees the token endpoint's own verdict on the new certificate (`app.admin.doctor`), from the
moment on at which it could count, and that nothing is changed by asking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.admin import doctor
from app.admin.certificate_file import read_chain
from app.admin.credential import Credential, readable
from app.admin.desk import Desk
from app.admin.diagnosis import Diagnosis
from app.admin.life_cycle import LifeCycle, life_cycle
from app.clients.boundary import LABELS
from app.errors import Reason
from app.pki.check import CertificateFacts
from app.store import holders, tokens
from app.store.holders import HolderRow
from app.store.tokens import Outstanding

GRACE = 300
"""Seconds after the last old token ran out until the old certificate is retired: clocks differ."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would happen."""

    before: LifeCycle
    facts: CertificateFacts
    diagnosis: Diagnosis
    at: int
    """The moment of the verdict: now, or when the certificate begins."""
    needs_registration: bool
    """The verdict is as if it were registered, which comes first."""
    same_key: bool
    """Whether it has the key of a certificate the client has; the key then is not renewed."""
    outstanding: Outstanding
    """Unexpired tokens: bound to the old certificate, good with that one alone."""
    by_certificate: dict[str, Outstanding]
    """The same by thumbprint, those without tokens left out."""
    holders: Sequence[HolderRow]
    """Other clients that hold its key."""
    labels: Mapping[str, str]
    """Boundary labels of the credential that it would replace: it needs the same ones."""

    @property
    def retire_at(self) -> int:
        """When the old certificate can go: every token bound to it has run out by then."""
        return max(self.at, self.outstanding.until or self.at) + GRACE


def rehearse(desk: Desk, client_id: str, path: Path) -> Rehearsal:
    """Try the certificate in `path` (intermediates after it) for this client.

    Raises:
        Problem: there is no such client, or the file holds no certificate.

    """
    chain = read_chain(path)
    facts = readable(path, chain[0])
    before = life_cycle(desk, client_id)
    now = clock.now()
    at = now if facts.not_after <= now else max(now, facts.not_before)
    diagnosis = doctor.examiner(desk, chain, [client_id], at=at).diagnose(client_id)
    needs_registration = _is_unregistered(before, diagnosis)
    labels = _labels(before)
    if needs_registration:
        new = Credential("certificate", facts.spki_sha256, facts.spki_der, chain[0], facts)
        credential = new.row(client_id, now, notes=labels)
        examiner = doctor.examiner(desk, chain, [client_id], registered=credential, at=at)
        diagnosis = examiner.diagnose(client_id)
    with desk.db.read() as conn:
        outstanding = tokens.outstanding(conn, now, client_id=client_id, leeway=0)
        by_certificate = {
            use.thumbprint: found
            for use in before.used
            if (
                found := tokens.outstanding(
                    conn, now, client_id=client_id, thumbprints=[use.thumbprint], leeway=0
                )
            ).count
        }
        held = [
            row for row in holders.of_key(conn, facts.spki_sha256) if row.client_id != client_id
        ]
    return Rehearsal(
        before,
        facts,
        diagnosis,
        at,
        needs_registration,
        _has_key(before, facts),
        outstanding,
        by_certificate,
        held,
        labels,
    )


def _is_unregistered(before: LifeCycle, diagnosis: Diagnosis) -> bool:
    refusal = diagnosis.refusal
    return (
        refusal is not None
        and refusal.finding.reason is Reason.THUMBPRINT_UNREGISTERED
        and before.client.jwks_uri is None
    )


def _labels(before: LifeCycle) -> dict[str, str]:
    """Of the credential used last, or else registered last, of those that count."""
    counting = [
        (one.use.last_used if one.use else 0, one.credential.id or 0, one.credential)
        for one in before.standings
        if one.credential is not None and one.state in ("active", "retiring")
    ]
    if not counting:
        return {}
    row = max(counting, key=lambda each: each[:2])[2]
    return {name: text for name in LABELS if (text := getattr(row, name))}


def _has_key(before: LifeCycle, facts: CertificateFacts) -> bool:
    keys = {
        known.spki_sha256
        for one in before.standings
        for known in (one.credential, one.use)
        if known is not None and one.digest != facts.thumbprint
    }
    return facts.spki_sha256 in keys
