"""Trust sets: which CA certificates may vouch for clients."""

import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from app import clock
from app.admin.certificate_file import read_chain
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.audit import TrustAdded, TrustRemoved
from app.pki import check
from app.pki.anchors import TrustSet
from app.store import audit, clients, registry, trust
from app.store.trust import TrustAnchorRow, TrustSetRow

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def add(
    desk: Desk, name: str, path: Path, *, intermediates_only: bool = False
) -> tuple[TrustAnchorRow, ...]:
    """Pin the CA certificates in `path` into the set, made where it is new; what was added.

    Self-issued certificates become anchors, the others path material; where none is self-issued,
    all become anchors (that is how a sub-CA alone is trusted), unless `intermediates_only`.

    Raises:
        Problem: a malformed name, or a certificate that cannot be a CA.

    """
    if NAME.fullmatch(name) is None:
        raise Problem(
            "this cannot be the name of a trust set",
            seen=name[:200],
            expected="1 to 64 letters, digits and . _ -, beginning with a letter or digit",
        )
    new = _rows(name, path, intermediates_only=intermediates_only)
    with registry.change(desk.db) as conn:
        trust.add_set(conn, name, "", clock.now())
        known = next(one for one in trust.listed(conn) if one.name == name)
        _require_usable(name, path, (*known.anchors, *new))
        added = tuple(row for row in new if trust.add_anchor(conn, name, row))
        if added:
            details = {row.thumbprint: f"{row.role} {row.subject}" for row in added}
            audit.append_admin(
                conn, TrustAdded(actor=desk.actor, details={"trust_set": name, "added": details})
            )
    return added


def remove(desk: Desk, name: str) -> list[str]:
    """Remove the set; nobody is trusted through it any more. The clients that still name it.

    Raises:
        Problem: there is no such set.

    """
    with registry.change(desk.db) as conn:
        if not trust.remove_set(conn, name):
            raise Problem(
                "there is no such trust set",
                seen=name[:200],
                expected=" or ".join(one.name for one in trust.listed(conn)) or "a trust set",
                action="certbound trust list",
            )
        audit.append_admin(conn, TrustRemoved(actor=desk.actor, details={"trust_set": name}))
        return [row.client_id for row in clients.listed(conn) if name in row.trust_sets]


def listed(desk: Desk) -> Sequence[TrustSetRow]:
    """Every set with its members, by name."""
    with desk.db.read() as conn:
        return trust.listed(conn)


def _rows(name: str, path: Path, *, intermediates_only: bool) -> tuple[TrustAnchorRow, ...]:
    chain = read_chain(path)
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode()
    try:
        found = TrustSet.from_pem(name, pem)
    except ValueError as error:
        raise _unusable(path, error) from error
    anchors = () if intermediates_only else found.anchors
    others = (*found.anchors, *found.intermediates) if intermediates_only else found.intermediates
    now = clock.now()
    return (
        *(_row(der, "anchor", now) for der in anchors),
        *(_row(der, "intermediate", now) for der in others),
    )


def _row(der: bytes, role: str, now: int) -> TrustAnchorRow:
    facts = check.describe(der)
    return TrustAnchorRow(
        thumbprint=facts.thumbprint,
        der=der,
        role="anchor" if role == "anchor" else "intermediate",
        subject=facts.subject,
        not_after=facts.not_after,
        added_at=now,
    )


def _require_usable(name: str, path: Path, rows: Sequence[TrustAnchorRow]) -> None:
    """Refuse now what the token endpoint would refuse to use."""
    members = {row.thumbprint: row for row in reversed(rows)}  # the stored role wins
    anchors = tuple(row.der for row in members.values() if row.role == "anchor")
    others = tuple(row.der for row in members.values() if row.role == "intermediate")
    try:
        TrustSet(name, anchors, others)
    except ValueError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: ValueError) -> Problem:
    return Problem(
        f"{path} cannot join a trust set",
        seen=str(error),
        expected="CA certificates: X.509 v3, basic constraint CA, an accepted key",
    )
