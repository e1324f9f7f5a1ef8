"""What the CRLs at hand say about one certificate of a path (RFC 5280 section 6.3.3).

Guarantees that a certificate is called good only where a CRL that is not stale, covers it and was
signed by its CA, or by a key which that CA or the CA above certified for the same name, does not
list it; and revoked where any such CRL lists it, stale or not. Everything else is unknown.
A delegated signer's own certificate must be in date and itself good, not by its own word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from app.pki.anchors import may_sign_crls
from app.pki.crl import LoadedCrl
from app.pki.crl_entries import serial_key
from app.pki.issued import signed
from app.pki.leaf import Leaf
from app.pki.status import Status, age_text

MAX_DELEGATIONS = 3
"""Signers whose certificates are judged by the CRLs of further signers. One is usual."""


@dataclass(frozen=True, slots=True)
class CrlView:
    """The CRLs at hand, at one moment."""

    crls: Sequence[LoadedCrl]
    now: int
    max_staleness: int = 0
    """As in `RevocationPolicy`."""
    distrusted: frozenset[bytes] = frozenset()
    """Keys whose CRLs do not count, for their own certificates are in question."""

    def status(self, subject: Leaf, issuers: Sequence[Leaf]) -> Status:
        """The status of `subject`, above which `issuers` lie on its path, its own issuer first."""
        good, problems = None, []
        serial = serial_key(int(subject.facts.serial, 16))
        for crl in self.crls:
            if crl.issuer != subject.issuer or crl.signers[0].facts.spki_der in self.distrusted:
                continue
            if (problem := self._silence(crl, subject, issuers)) is not None:
                problems.append(f"{_named(crl)} {problem}")
                continue
            if (found := crl.revoked(serial)) is not None:
                because = f" ({found.reason})" if found.reason else ""
                text = f"{_subject(subject)} revoked on {found.date}{because}, {_named(crl)}"
                return Status("revoked", text)
            if (stale := crl.stale(self.now, self.max_staleness)) is not None:
                problems.append(f"{_named(crl)} {stale}")
            elif good is None or crl.this_update > good.this_update:
                good = crl
        if good is not None:
            age = age_text(self.now - good.this_update)
            return Status("good", f"{_subject(subject)} is not in {_named(good)}, {age} old")
        why = "; ".join(problems[:3]) or f"no CRL of {subject.facts.issuer}"
        return Status("unknown", f"{_subject(subject)}: {why}")

    def _silence(self, crl: LoadedCrl, subject: Leaf, issuers: Sequence[Leaf]) -> str | None:
        """Why neither the CRL's entries nor their absence say anything, or None where they do."""
        if not crl.scope.covers(subject):
            return "does not cover it"
        key = crl.signers[0].facts.spki_der
        if any(each.facts.spki_der == key and may_sign_crls(each) for each in _same(issuers)):
            return None
        if len(self.distrusted) >= MAX_DELEGATIONS:
            return "is signed by a key too many delegations away"
        wary = replace(self, distrusted=self.distrusted | {key})
        for signer in crl.signers:
            above = _certified_by(signer, issuers)
            if above is None or not signer.facts.not_before <= self.now < signer.facts.not_after:
                continue
            status = wary.status(signer, above)
            if status.standing == "good":
                return None
            return f"is signed by a certificate that is not known to be good ({status.seen})"
        return "is signed by a key that its CA did not certify for this"


def _subject(leaf: Leaf) -> str:
    return leaf.facts.subject or f"serial {leaf.facts.serial}"


def _named(crl: LoadedCrl) -> str:
    part = f" [{crl.partition}]" if crl.partition else ""
    return f"CRL {crl.number} of {crl.issuer_text}{part}"


def _same(issuers: Sequence[Leaf]) -> Sequence[Leaf]:
    """The issuer with its other keys: self-issued certificates follow each other on the path."""
    same = takewhile(lambda each: each.subject == issuers[0].subject, issuers)
    return issuers[: len(list(same))]


def _certified_by(signer: Leaf, issuers: Sequence[Leaf]) -> Sequence[Leaf] | None:
    """The path above a delegated signer: from the CA itself, or from the one above it."""
    for at, issuer in enumerate(issuers[: len(_same(issuers)) + 1]):
        if signer.issuer == issuer.subject and signed(signer.certificate, issuer.certificate):
            return issuers[at:]
    return None
