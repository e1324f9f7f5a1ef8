"""Taking a CA certificate, or a whole trust set, away; and who would stop authenticating.

The forecast reads what the journal recorded: each client's last certificate, by its issuer's name.
Leaf certificates are not stored, so where only their path could tell it says so (`unclear`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app import clock
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.admin.trust_known import find, refuse_bundle
from app.audit import AnchorRemoved, TrustRemoved
from app.pki import check
from app.store import audit, clients, registry, trust, uses
from app.store.clients import ClientRow
from app.store.trust import TrustAnchorRow, TrustSetRow
from app.store.uses import UseRow

Outlook = Literal["stops", "unclear", "goes on"]
_Uses = dict[str, Sequence[UseRow]]


@dataclass(frozen=True, slots=True)
class Affected:
    """One client that names the set, and what the removal means for it."""

    client_id: str
    outlook: Outlook
    last: UseRow | None
    """Its last use of a certificate; None: it was never seen."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed, or would be."""

    name: str
    members: tuple[TrustAnchorRow, ...]
    whole: bool
    """Whether the set goes with them."""
    affected: tuple[Affected, ...]
    """Enabled clients that name the set, the last used first."""
    naming: tuple[str, ...]
    """Clients that name it, disabled ones too."""


def remove(desk: Desk, name: str, text: str | None = None, *, dry_run: bool = False) -> Removal:
    """Remove the set, or the one certificate that `text` names; nobody is trusted through it then.

    Raises:
        Problem: there is no such set or member, it is the set's last anchor, or the set's anchors
            come from a bundle.

    """
    if dry_run:
        with desk.db.read() as conn:
            rows, registered = trust.listed(conn), clients.listed(conn)
            used = {row.client_id: uses.of_client(conn, row.client_id) for row in registered}
        return _removal(find(rows, name), text, rows, registered, used)
    with registry.change(desk.db) as conn:
        rows, registered = trust.listed(conn), clients.listed(conn)
        naming = [row for row in registered if name in row.trust_sets]
        used = {row.client_id: uses.of_client(conn, row.client_id) for row in naming}
        removal = _removal(find(rows, name), text, rows, registered, used)
        details: dict[str, object] = {
            "trust_set": name,
            "removed": {row.thumbprint: f"{row.role} {row.subject}" for row in removal.members},
        }
        if removal.whole:
            trust.remove_set(conn, name)
            audit.append_admin(conn, TrustRemoved(actor=desk.actor, details=details))
        else:
            for member in removal.members:
                trust.remove_anchor(conn, name, member.thumbprint, clock.now())
            audit.append_admin(conn, AnchorRemoved(actor=desk.actor, details=details))
    return removal


def _removal(
    before: TrustSetRow,
    text: str | None,
    rows: Sequence[TrustSetRow],
    registered: Sequence[ClientRow],
    used: _Uses,
) -> Removal:
    gone = before.anchors if text is None else (_member(before, text),)
    left = tuple(row for row in before.anchors if row not in gone)
    if text is not None and gone[0].role == "anchor":
        refuse_bundle(before)
        if all(row.role != "anchor" for row in left):
            raise Problem(
                f"this is the last anchor of {before.name}",
                seen=gone[0].subject,
                expected="a set with another anchor: add the CA's new certificate first",
                action="To trust nobody through it any more, remove the set: certbound trust "
                f"remove {before.name}",
            )
    sets_before = {row.name: row for row in rows}
    sets_after = {**sets_before, before.name: replace(before, anchors=left)}
    naming = [row for row in registered if before.name in row.trust_sets]
    affected = [
        _affected(row, used.get(row.client_id, ()), sets_before, sets_after)
        for row in naming
        if row.disabled_at is None
    ]
    return Removal(
        before.name,
        gone,
        text is None,
        tuple(sorted(affected, key=lambda one: -(one.last.last_used if one.last else 0))),
        tuple(row.client_id for row in naming),
    )


def _member(known: TrustSetRow, text: str) -> TrustAnchorRow:
    thumbprint = thumbprint_of(text)
    for row in known.anchors:
        if row.thumbprint == thumbprint:
            return row
    raise Problem(
        f"{known.name} holds no such certificate",
        seen=thumbprint,
        expected="the thumbprint of one of its members",
        action="certbound trust list",
    )


def _affected(
    client: ClientRow,
    used: Sequence[UseRow],
    before: dict[str, TrustSetRow],
    after: dict[str, TrustSetRow],
) -> Affected:
    last = next((use for use in used if use.trust_set is not None), None)
    names = client.trust_sets
    remaining = [after[name] for name in names if name in after]
    if not any(row.role == "anchor" for one in remaining for row in one.anchors):
        return Affected(client.client_id, "stops", last)
    if last is None:
        return Affected(client.client_id, "unclear", None)
    had = _vouchers([before[name] for name in names if name in before], last.issuer)
    keeps = _vouchers(remaining, last.issuer)
    if had and not keeps:
        return Affected(client.client_id, "stops", last)
    if had and had <= keeps:
        return Affected(client.client_id, "goes on", last)
    return Affected(client.client_id, "unclear", last)


def _vouchers(sets: Sequence[TrustSetRow], issuer: str) -> frozenset[str]:
    """Keys of the CAs of this name that lead, by names, to an anchor of their own set."""
    return frozenset(
        check.describe(row.der).spki_sha256
        for one in sets
        for row in _leading(one)
        if row.subject == issuer
    )


def _leading(one: TrustSetRow) -> list[TrustAnchorRow]:
    """The members from which the issuers' names lead to an anchor."""
    found = [row for row in one.anchors if row.role == "anchor"]
    waiting = {row: check.describe(row.der).issuer for row in one.anchors if row not in found}
    while reached := [
        row for row, issuer in waiting.items() if any(issuer == each.subject for each in found)
    ]:
        found += reached
        for row in reached:
            del waiting[row]
    return found
