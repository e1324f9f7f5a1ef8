"""Trust sets by name: finding one, reading one, and saying in a sentence that there is none."""

import re
from collections.abc import Sequence

from app.admin.problem import Problem
from app.pki.anchors import TrustSet
from app.store.trust import TrustSetRow

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def find(rows: Sequence[TrustSetRow], name: str) -> TrustSetRow:
    """The set of this name.

    Raises:
        Problem: there is none.

    """
    for row in rows:
        if row.name == name:
            return row
    raise unknown(name, rows)


def set_of(row: TrustSetRow) -> TrustSet:
    """The set's certificates as paths and lists are judged by."""
    return TrustSet(
        row.name,
        tuple(one.der for one in row.anchors if one.role == "anchor"),
        tuple(one.der for one in row.anchors if one.role == "intermediate"),
    )


def unknown(name: str, rows: Sequence[TrustSetRow]) -> Problem:
    """What to say when a set is not there."""
    return Problem(
        "there is no such trust set",
        seen=name[:200],
        expected=" or ".join(one.name for one in rows) or "a trust set",
        action="certbound trust list",
    )


def require_name(name: str) -> None:
    """Refuse what would need quoting.

    Raises:
        Problem: it would.

    """
    if NAME.fullmatch(name) is None:
        raise Problem(
            "this cannot be the name of a trust set",
            seen=name[:200],
            expected="1 to 64 letters, digits and . _ -, beginning with a letter or digit",
        )


def refuse_bundle(known: TrustSetRow) -> None:
    """Refuse to pin or drop anchors by hand that the next load of a bundle would bring back.

    Raises:
        Problem: the set follows a bundle.

    """
    if known.bundle is not None:
        raise Problem(
            f"the anchors of {known.name} come from a SPIFFE bundle",
            seen=known.bundle.source,
            expected="a set whose anchors are pinned by hand",
            action="Make a set of its own for them: certbound trust add NAME FILE",
        )
