"""Which of several trust sets vouches for a certificate: by a path, and within its name bounds.

Guarantees that the sets are asked in order, each with its own anchors only, and that one whose
permitted names the certificate breaks is passed over like one without a path. Does not judge the
leaf beyond that, nor whom the certificate names: `app.pki.check` is the door.
"""

from collections.abc import Sequence

from app.errors import Examination, Finding, Reason
from app.pki.anchors import TrustSet, material
from app.pki.leaf import Leaf
from app.pki.no_path import NoPath
from app.pki.path import Path, find_path


def examine_chain(
    exam: Examination, leaf: Leaf, presented: list[Leaf], trust_sets: Sequence[TrustSet], now: int
) -> tuple[Path, TrustSet] | None:
    """Note the path to an anchor of the first of `trust_sets` that vouches: path and set.

    None where there is none; a failing finding then says what came nearest.
    """
    refusals = []
    out_of_bounds = None
    for trust_set in trust_sets:
        try:
            path = find_path(leaf, presented, material(trust_set), now)
        except NoPath as refusal:
            refusals.append(refusal)
            continue
        permitted = trust_set.permitted
        if (fault := permitted.fault(leaf.facts.names)) is not None:
            out_of_bounds = permitted.finding(f"{fault}, vouched for by {trust_set.name}")
            continue
        steps = " ← ".join(each.facts.subject for each in path.certificates)
        exam.note(Finding("chain", f"{steps} (trust set {trust_set.name})"))
        if permitted:
            exam.note(Finding("permitted names", f"inside {' or '.join(permitted.texts)}"))
        return path, trust_set
    if out_of_bounds is not None:
        exam.note(out_of_bounds)
        return None
    if not refusals:
        refusals.append(NoPath(Reason.ISSUER_UNKNOWN, "the client has no trust set", "a trust set"))
    exam.note(min(refusals, key=_vagueness).finding())
    return None


def _vagueness(refusal: NoPath) -> int:
    """Orders the answers of several trust sets: the one that came furthest is the one to tell."""
    order = (Reason.CHAIN_INCOMPLETE, Reason.ISSUER_UNKNOWN)
    return 1 + order.index(refusal.reason) if refusal.reason in order else 0
