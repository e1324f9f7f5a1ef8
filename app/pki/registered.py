"""Self-signed clients: is this the registered certificate, or one that the registered key made?

Guarantees (RFC 8705 section 2.2): a registered *certificate* is matched by SHA-256 of its whole
DER, so serial, subject or key alone mean nothing; a registered *key* is matched by its whole
SubjectPublicKeyInfo, and the certificate must be signed by that very key over itself, so that no
CA, not even one that certified the same key, can speak for the client. Registered certificates are
never issuers: what they signed is not looked at. Dates, key and signature policy come after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.clock import iso
from app.errors import Examination, Finding, Reason
from app.pki.key_policy import leaf_key_fault, signature_fault
from app.pki.leaf import Leaf
from app.pki.panics import is_fault_of_input


@dataclass(frozen=True, slots=True)
class Registered:
    """One certificate or key registered for a client."""

    kind: Literal["certificate", "key"]
    thumbprint: str | None
    """``x5t#S256``; None for a key."""
    spki_sha256: str
    spki_der: bytes
    state: Literal["active", "retired"]
    activate_at: int = 0
    """Seconds since the epoch; not accepted before."""
    retired_at: int | None = None
    """Seconds since the epoch; not accepted from then on, whatever `state` says."""

    def retired(self, now: int) -> bool:
        """Whether it is no longer accepted."""
        return self.state == "retired" or (self.retired_at is not None and now >= self.retired_at)

    def in_force(self, now: int) -> bool:
        """Whether it is accepted at `now`."""
        return now >= self.activate_at and not self.retired(now)


def eligible_entries(thumbprint: str, registered: Sequence[Registered]) -> list[Registered]:
    """The entries that may decide about one certificate.

    Where the certificate itself is registered, its own entries alone: one that was retired is not
    let in again by a registered key. Otherwise the registered keys.
    """
    own = [e for e in registered if e.kind == "certificate" and e.thumbprint == thumbprint]
    return own or [e for e in registered if e.kind == "key"]


def examine_registration(
    exam: Examination, leaf: Leaf, registered: Sequence[Registered], now: int
) -> Registered | None:
    """Note and return the entry that vouches for `leaf`; None where none does."""
    eligible = eligible_entries(leaf.facts.thumbprint, registered)
    matching = [entry for entry in eligible if _matches(leaf, entry)]
    for entry in matching:
        if entry.in_force(now):
            # A key by its own hash, as it was shown when it was registered.
            named = (
                f"certificate, {leaf.facts.thumbprint}"
                if entry.kind == "certificate"
                else f"public key, {leaf.facts.spki_sha256}"
            )
            exam.note(Finding("registered", f"registered {named}"))
            return entry
    exam.note(_not_in_force(matching, now) if matching else _unregistered(leaf, registered))
    return None


def _not_in_force(matching: Sequence[Registered], now: int) -> Finding:
    pending = [entry.activate_at for entry in matching if not entry.retired(now)]
    if pending:
        return Finding(
            "registered",
            f"registered, but active from {iso(min(pending))} only",
            f"server clock {iso(now)}",
            "wait, or add it for now: certbound client cert add ID FILE",
            Reason.CERTIFICATE_NOT_ACTIVE,
        )
    return Finding(
        "registered",
        "registered, but retired",
        "a certificate that is in force",
        "use the client's newer certificate; see: certbound client cert list ID",
        Reason.CERTIFICATE_RETIRED,
    )


def _matches(leaf: Leaf, entry: Registered) -> bool:
    if entry.kind == "certificate":
        return entry.thumbprint == leaf.facts.thumbprint
    return _same_key(leaf, entry) and self_signed(leaf)


def _same_key(leaf: Leaf, entry: Registered) -> bool:
    spki = leaf.facts.spki_der
    return bool(spki) and spki == entry.spki_der


def self_signed(leaf: Leaf) -> bool:
    """Whether the certificate names itself as issuer and its own key verifies its signature.

    Keys outside the policy verify nothing: an absurd one must not cost us its arithmetic.
    """
    if not leaf.facts.self_issued or leaf_key_fault(leaf.public_key) is not None:
        return False
    try:
        leaf.certificate.verify_directly_issued_by(leaf.certificate)
    except BaseException as problem:  # InvalidSignature, UnsupportedAlgorithm, …: not verified
        if not is_fault_of_input(problem):
            raise
        return False
    return True


def _unregistered(leaf: Leaf, registered: Sequence[Registered]) -> Finding:
    seen = f"unregistered certificate {leaf.facts.thumbprint}"
    action = "only if you know this certificate is the client's: certbound client cert add ID FILE"
    reason = Reason.THUMBPRINT_UNREGISTERED
    same_key = [entry for entry in registered if _same_key(leaf, entry)]
    if any(entry.kind == "key" for entry in same_key):
        seen = f"the registered key, but the certificate is issued by {leaf.facts.issuer}"
        action = "present a certificate that the registered key signed itself, with SHA-2"
        if leaf.facts.self_issued:
            seen = "the registered key, but the certificate is not signed with it"
            if (fault := signature_fault(leaf.certificate)) is not None:
                seen, reason = f"the registered key, but {fault}", Reason.WEAK_SIGNATURE
    elif same_key:
        seen = f"same key, new certificate {leaf.facts.thumbprint}"
        action = "same key, new certificate; register it as well: certbound client cert add ID FILE"
    return Finding(
        "registered",
        seen,
        f"one of {len(registered)} registered certificates or keys",
        action,
        reason,
    )
