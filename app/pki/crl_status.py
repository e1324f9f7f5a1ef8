"""What the CRLs at hand say about one certificate of a path (RFC 5280 section 6.3.3).

Guarantees that a certificate is called good only where a CRL that is not stale, covers it and was
signed by its CA, or by a key which that CA or the CA above certified for the same name, does not
list it; and revoked where any such CRL lists it, stale or not. Everything else is unknown.
A delegated signer's own certificate must be in date and itself good, not by its own word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.pki.crl import LoadedCrl
from app.pki.issued import signed
from app.pki.leaf import Leaf
from app.pki.links import Link, same_name
from app.pki.links import link as link_of
from app.pki.status import Status, age_text

MAX_DELEGATIONS = 2
"""Signers whose certificates are judged by the CRLs of further signers: one at each of two CAs.
More would let a ring of fifty keys cost more than the 50 ms that one login may."""


@dataclass(frozen=True, slots=True)
class CrlView:
    """The CRLs at hand, at one moment."""

    crls: Sequence[LoadedCrl]
    now: int
    max_staleness: int = 0
    """As in `RevocationPolicy`."""
    distrusted: frozenset[bytes] = frozenset()
    """Keys whose CRLs do not count, for their own certificates are in question."""

    def status(self, link: Link) -> Status:
        """The status of one certificate."""
        good, problems, issuer = None, [], link.subject.issuer
        for crl in self.crls:
            if crl.issuer != issuer or crl.signing_key in self.distrusted:
                continue
            if (problem := self._silence(crl, link)) is not None:
                problems.append(f"{crl.title} {problem}")
                continue
            if (found := crl.revoked(link.serial_key)) is not None:
                because = f" ({found.reason})" if found.reason else ""
                text = f"{link.name} revoked on {found.date}{because}, {crl.title}"
                return Status("revoked", text)
            if (stale := crl.stale(self.now, self.max_staleness)) is not None:
                problems.append(f"{crl.title} {stale}")
            elif good is None or crl.this_update > good.this_update:
                good = crl
        if good is not None:
            age = age_text(self.now - good.this_update)
            return Status("good", f"{link.name} is not in {good.title}, {age} old")
        why = "; ".join(problems[:3]) or f"no CRL of {link.subject.facts.issuer}"
        return Status("unknown", f"{link.name}: {why}")

    def _silence(self, crl: LoadedCrl, link: Link) -> str | None:
        """Why neither the CRL's entries nor their absence say anything, or None where they do."""
        if not crl.scope.covers(link.points, is_ca=link.subject.facts.is_ca):
            return "does not cover it"
        if crl.signing_key in link.issuer_keys:
            return None
        if len(self.distrusted) >= MAX_DELEGATIONS:
            return "is signed by a key too many delegations away"
        wary = replace(self, distrusted=self.distrusted | {crl.signing_key})
        for signer in crl.signers:
            above = _certified_by(signer, link.issuers)
            if above is None or not signer.facts.not_before <= self.now < signer.facts.not_after:
                continue
            status = wary.status(link_of(signer, above))
            if status.standing == "good":
                return None
            return f"is signed by a certificate that is not known to be good ({status.seen})"
        return "is signed by a key that its CA did not certify for this"


def _certified_by(signer: Leaf, issuers: Sequence[Leaf]) -> Sequence[Leaf] | None:
    """The path above a delegated signer: from the CA itself, or from the one above it."""
    for at, issuer in enumerate(issuers[: len(same_name(issuers)) + 1]):
        if signer.issuer == issuer.subject and signed(signer.certificate, issuer.certificate):
            return issuers[at:]
    return None
