"""The only door from a presented certificate to a trusted one.

Guarantees that a `TrustedCertificate` is in date, has an acceptable key and signature, and is
vouched for either by a path to a pinned anchor on which, under the trust set's policy, nothing is
revoked (`by_path`, RFC 8705 section 2.1) or by its own registration (`by_registration`, section
2.2). Only the leaf that signed the handshake is judged;
whatever else was presented is path material. Does not compare names (`app.pki.names`) and does not
know of clients. Every refusal is a `Refused` with a reason; no input raises anything else.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NoReturn

from app.errors import Examination, Finding, Reason, Refused
from app.pki.anchors import TrustSet
from app.pki.chain import examine_chain
from app.pki.leaf import MAX_BYTES, CertificateFacts, Leaf, read_leaf
from app.pki.leaf_policy import examine_dates, examine_key, examine_signature, examine_usage
from app.pki.links import Link, links_of
from app.pki.registered import Registered, eligible_entries, examine_registration
from app.pki.revocation import NO_SOURCE, RevocationSource, examine_revocation
from app.pki.subject_match import PresentedNames
from app.pki.verdicts import Verdicts
from app.tls.peer import PeerCertificate

__all__ = [
    "Basis",
    "CertificateFacts",
    "Registered",
    "TrustedCertificate",
    "by_path",
    "by_registration",
    "describe",
    "digest",
]

MAX_PRESENTED = 10  # certificates, the leaf included; the TLS layer has the same cap
MAX_ELEMENTS = 1024  # DER elements in all of them; ten ordinary certificates have fewer
# Verdicts of some 3 KiB each and 1 KiB per CA that was sent beside the leaf, 6 KiB where revocation
# is asked. One per live client certificate.
_REMEMBERED = 4096

Basis = Literal["path", "registered_certificate", "registered_key"]


@dataclass(frozen=True, slots=True)
class TrustedCertificate:
    """A certificate whose possession, validity and provenance are all proven. Made only here."""

    peer: PeerCertificate
    facts: CertificateFacts
    trust_set: str | None
    """Name of the trust set whose anchor vouches for it; None for a registered certificate."""
    basis: Basis
    issuers: tuple[CertificateFacts, ...] = ()
    """The CAs of its path, its issuer first, the anchor last; none for a registered certificate."""
    span: tuple[int, int] = (0, 0)
    """From when until when none of the certificates on its path begins or ends."""

    def proven_again(self, peer: PeerCertificate) -> "TrustedCertificate":
        """The same on another connection; raises ValueError where that proved another certificate."""
        if peer.thumbprint != self.peer.thumbprint:
            raise ValueError("another certificate")
        return TrustedCertificate(
            peer, self.facts, self.trust_set, self.basis, self.issuers, self.span
        )

    @property
    def subject(self) -> str:
        """RFC 4514."""
        return self.facts.subject

    @property
    def issuer(self) -> str:
        """RFC 4514."""
        return self.facts.issuer

    @property
    def serial(self) -> str:
        """Lower-case hex."""
        return self.facts.serial

    @property
    def not_after(self) -> int:
        """End of the leaf's validity; no token outlives it."""
        return self.facts.not_after

    @property
    def spki_sha256(self) -> str:
        """base64url SHA-256 of the SubjectPublicKeyInfo."""
        return self.facts.spki_sha256

    @property
    def names(self) -> PresentedNames:
        """What `app.pki.names.examine_name` compares."""
        return self.facts.names


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A success and the span in which no certificate involved starts or ends.

    Not part of it: revocation, which is asked anew each time.
    """

    inputs: object
    """What it was reached from, beside the leaf: compared before it is used again."""
    facts: CertificateFacts
    trust_set: str | None
    basis: Basis
    findings: tuple[Finding, ...]
    not_before: int
    not_after: int
    links: tuple[Link, ...] = ()
    """What to ask about revocation, unless that is off."""
    issuers: tuple[CertificateFacts, ...] = ()

    def holds(self, inputs: object, now: int) -> bool:
        return self.inputs == inputs and self.not_before <= now < self.not_after

    def replay(self, exam: Examination, peer: PeerCertificate) -> TrustedCertificate:
        exam.findings.extend(self.findings)
        return self.trusted(peer)

    def trusted(self, peer: PeerCertificate) -> TrustedCertificate:
        span = (self.not_before, self.not_after)
        return TrustedCertificate(peer, self.facts, self.trust_set, self.basis, self.issuers, span)


# By thumbprint of the leaf, so that whoever holds one certificate fills one entry, whatever else
# he sends beside it.
_paths: Verdicts[str, _Verdict] = Verdicts(_REMEMBERED)
_registrations: Verdicts[str, _Verdict] = Verdicts(_REMEMBERED)


def by_path(
    exam: Examination,
    peer: PeerCertificate,
    trust_sets: Sequence[TrustSet],
    now: int,
    revocation: RevocationSource = NO_SOURCE,
) -> TrustedCertificate:
    """Trust by a path to an anchor of the first of `trust_sets` that has one. Raises Refused.

    Notes, in order: readable, dates, key, usage, signature, chain, permitted names (where the set
    has such bounds; a certificate beyond them may yet be vouched for by another set), revocation
    (by the policy of the set that vouches; no other set is tried after it). A thorough examination
    gets all of them before `Refused` is raised.
    """
    inputs = (digest(peer.presented), tuple(each.digest for each in trust_sets))
    verdict = _paths.get(peer.thumbprint)
    if verdict is not None and verdict.holds(inputs, now):
        trusted = verdict.replay(exam, peer)
        start = len(exam.findings)
        trust_set = _vouching(verdict, trust_sets)
        examine_revocation(exam, verdict.links, trust_set, revocation, now)
        _passed(exam, start)
        return trusted
    start = len(exam.findings)
    leaf, presented = _readable(exam, peer)
    examine_dates(exam, leaf, now)
    examine_key(exam, leaf)
    examine_usage(exam, leaf)
    examine_signature(exam, leaf)
    found = examine_chain(exam, leaf, presented, trust_sets, now)
    if found is None:
        _passed(exam, start)
        raise RuntimeError("no path, and no finding that says so")
    path, trust_set = found
    findings = tuple(exam.findings[start:])
    links = () if trust_set.revocation.mode == "off" else links_of(path)
    span = (path.not_before, path.not_after)
    issuers = tuple(each.facts for each in path.certificates[1:])
    verdict = _Verdict(inputs, leaf.facts, trust_set.name, "path", findings, *span, links, issuers)
    if all(finding.passed for finding in findings):
        _paths.put(peer.thumbprint, verdict)
    examine_revocation(exam, links, trust_set, revocation, now)
    _passed(exam, start)
    return verdict.trusted(peer)


def links_to_ask(
    peer: PeerCertificate, trust_sets: Sequence[TrustSet], now: int
) -> tuple[tuple[Link, ...], TrustSet] | None:
    """What `by_path` would ask about revocation, so that answers can be fetched before it does.

    None where it would refuse before that, or where the policy of the set is off.
    """
    if all(each.revocation.mode == "off" for each in trust_sets):
        return None
    with suppress(Refused):
        by_path(Examination(), peer, trust_sets, now)
    verdict = _paths.get(peer.thumbprint)
    inputs = (digest(peer.presented), tuple(each.digest for each in trust_sets))
    if verdict is None or not verdict.links or not verdict.holds(inputs, now):
        return None
    return verdict.links, _vouching(verdict, trust_sets)


def _vouching(verdict: _Verdict, trust_sets: Sequence[TrustSet]) -> TrustSet:
    return next(each for each in trust_sets if each.name == verdict.trust_set)


def by_registration(
    exam: Examination, peer: PeerCertificate, registered: Sequence[Registered], now: int
) -> TrustedCertificate:
    """Trust by what was registered for this client: the certificate itself or its key.

    Notes, in order: readable, registered, dates, key, signature. Issuers, CA flags, purposes and
    whatever else was presented play no part. Raises Refused.
    """
    remembered = _registrations.get(peer.thumbprint)
    if remembered is not None:
        for each in eligible_entries(peer.thumbprint, registered):
            if each.in_force(now) and remembered.holds(each, now):
                return remembered.replay(exam, peer)
    start = len(exam.findings)
    leaf, _ = _readable(exam, peer, path_material=False)
    entry = examine_registration(exam, leaf, registered, now)
    examine_dates(exam, leaf, now)
    examine_key(exam, leaf)
    examine_signature(exam, leaf)
    findings = _passed(exam, start)
    if entry is None:
        raise RuntimeError("not registered, and no finding that says so")
    basis: Basis = "registered_certificate" if entry.kind == "certificate" else "registered_key"
    facts = leaf.facts
    verdict = _Verdict(entry, facts, None, basis, findings, facts.not_before, facts.not_after)
    _registrations.put(peer.thumbprint, verdict)
    return TrustedCertificate(peer, facts, None, basis)


def describe(encoded: bytes) -> CertificateFacts:
    """What a DER certificate says, trusting nothing of it. Raises ValueError."""
    return read_leaf(encoded).facts


def digest(presented: tuple[bytes, ...]) -> bytes:
    """SHA-256 over the certificates' own digests, so that no two lists share one."""
    if not presented:
        return b""
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in presented)).digest()


def _readable(
    exam: Examination, peer: PeerCertificate, *, path_material: bool = True
) -> tuple[Leaf, list[Leaf]]:
    """The leaf, and what else was sent where that matters; caps before any parser."""
    total = len(peer.der) + sum(map(len, peer.presented))
    if 1 + len(peer.presented) > MAX_PRESENTED or total > MAX_BYTES:
        _malformed(exam, f"{1 + len(peer.presented)} certificates, {total} bytes")
    try:
        leaf = read_leaf(peer.der)
        presented = _material(peer, leaf.elements) if path_material else []
    except ValueError as problem:
        _malformed(exam, str(problem), problem)
    exam.note(Finding("readable", f"{leaf.facts.key}, {leaf.facts.subject or 'empty subject'}"))
    return leaf, presented


def _material(peer: PeerCertificate, elements: int) -> list[Leaf]:
    """What was sent beside the leaf, which has `elements` itself. Raises ValueError."""
    found = []
    for each in peer.presented:
        found.append(read_leaf(each))
        elements += found[-1].elements
        if elements > MAX_ELEMENTS:
            raise ValueError(f"certificates of more than {MAX_ELEMENTS} DER elements")
    return found


def _malformed(exam: Examination, seen: str, cause: Exception | None = None) -> NoReturn:
    raise exam.end(
        Finding(
            "readable",
            seen,
            f"DER certificates, X.509 v3, at most {MAX_PRESENTED} and {MAX_BYTES} bytes in all",
            "have the certificate reissued, and send it and its intermediates only",
            Reason.CERTIFICATE_MALFORMED,
        )
    ) from cause


def _passed(exam: Examination, start: int) -> tuple[Finding, ...]:
    """The findings of this check, all passed; a thorough one raises its first failure only now."""
    findings = tuple(exam.findings[start:])
    for finding in findings:
        if not finding.passed:
            raise Refused(finding)
    return findings
