"""Is any certificate of a path revoked? Asked anew for every request, of memory alone.

Guarantees that under a policy other than off every certificate below the anchor is asked about;
that one known to be revoked is refused, whatever the policy does about doubt; that with hard
failure only a known and fresh *good* for all of them passes; that with soft failure the finding
says each time what was not known, and that nobody passes while what is known to exist is not at
hand yet. Waits for nothing: CRLs and OCSP answers are fetched elsewhere
(`app.pki.crl_store`, `app.pki.ocsp_cache`), never from URLs in certificates.
"""

from collections.abc import Sequence
from typing import Protocol

from app.errors import Examination, Finding, Reason
from app.pki.anchors import TrustSet
from app.pki.crl import LoadedCrl
from app.pki.crl_status import CrlView
from app.pki.leaf import Leaf
from app.pki.links import Link
from app.pki.ocsp import OcspAnswer
from app.pki.status import Status


class RevocationSource(Protocol):
    """What is known about revocation now, in memory. Read from any thread."""

    def crls(self, trust_set: str) -> Sequence[LoadedCrl]:
        """The CRLs loaded for a trust set, stale ones included."""

    def loading(self, trust_set: str) -> bool:
        """Whether the newest CRL of a trust set is yet to come; asked before `crls`."""

    def ocsp(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """The last answer about a certificate, stale or not; None where there was none."""


class NoSource:
    """Knows nothing: under a hard policy nobody passes."""

    def crls(self, trust_set: str) -> Sequence[LoadedCrl]:
        """None loaded."""
        del trust_set
        return ()

    def loading(self, trust_set: str) -> bool:
        """And none to come."""
        del trust_set
        return False

    def ocsp(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """Nobody was asked."""
        del trust_set, issuer, serial
        return None


NO_SOURCE = NoSource()


def examine_revocation(
    exam: Examination,
    links: Sequence[Link],
    trust_set: TrustSet,
    source: RevocationSource,
    now: int,
) -> None:
    """Note finding "revocation". Raises Refused as `Examination.note` does."""
    policy = trust_set.revocation
    if policy.mode == "off":
        exam.note(Finding("revocation", f"off for trust set {trust_set.name}"))
        return
    exam.note(_finding(trust_set, statuses(links, trust_set, source, now)))


def statuses(
    links: Sequence[Link], trust_set: TrustSet, source: RevocationSource, now: int
) -> list[Status]:
    """What is known of each certificate below the anchor, the leaf first."""
    name, policy = trust_set.name, trust_set.revocation
    if policy.mode == "crl":
        loading = source.loading(name)
        view = CrlView(source.crls(name), now, policy.max_staleness)
        found = [view.status(each) for each in links]
        if loading and all(each.standing != "revoked" for each in found):
            return [Status("unknown", f"a newer CRL of {name} is still being loaded", closed=True)]
        return found
    found = []
    for each in links:
        answer = source.ocsp(name, each.issuers[0], each.serial)
        found.append(
            Status("unknown", f"{each.name}: no OCSP answer")
            if answer is None
            else answer.status(each.name, now, policy.max_staleness)
        )
    return found


def _finding(trust_set: TrustSet, found: Sequence[Status]) -> Finding:
    policy, name = trust_set.revocation, trust_set.name
    revoked = [each.seen for each in found if each.standing == "revoked"]
    if revoked:
        action = "have a new certificate issued; after a mistake, have its CA publish a new "
        action += "answer" if policy.mode == "ocsp" else f"CRL: certbound trust crl {name} FILE"
        return Finding("revocation", revoked[0], "not revoked", action, Reason.REVOKED)
    unknown = [each.seen for each in found if each.standing == "unknown"]
    if not unknown:
        return Finding("revocation", "; ".join(each.seen for each in found))
    seen = "; ".join(unknown)
    if any(each.closed for each in found):
        action = "ask again in some seconds; where that does not help, the server's log says why"
        expected = "what is known about revocation, read by this process"
        return Finding("revocation", seen, expected, action, Reason.REVOCATION_UNKNOWN)
    if policy.fail == "soft":
        return Finding(
            "revocation", f"not known, let in because {name} fails soft: {seen}", doubt=True
        )
    return Finding(
        "revocation",
        seen,
        f"a fresh {policy.mode.upper()} answer for every certificate below the anchor",
        f"certbound trust crl {name} FILE"
        if policy.mode == "crl"
        else f"make the responder {policy.urls[0]} answer; its certificate must be of the CA",
        Reason.REVOCATION_UNKNOWN,
    )
