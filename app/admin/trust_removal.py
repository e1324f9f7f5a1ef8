"""Taking a CA certificate, or a whole trust set, away; and who would stop authenticating.

The forecast reads what the journal recorded: the certificates that each client's instances may
still hold, by their issuers' names. Leaf certificates are not stored, so where only their path could
tell it says so (`unclear`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app import clock
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.still_used import still_used, stopped
from app.admin.thumbprints import thumbprint_of
from app.admin.trust_known import find, refuse_bundle
from app.audit import AnchorRemoved, TrustRemoved
from app.pki import check
from app.store import audit, clients, registry, trust, uses
from app.store.clients import ClientRow
from app.store.engine import Transaction
from app.store.trust import TrustAnchorRow, TrustSetRow
from app.store.uses import UseRow

Outlook = Literal["stops", "in part", "unclear", "goes on", "stopped"]
"""``in part``: with one certificate and not with another. ``stopped``: it is so already."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients were seen with."""

    used: Mapping[str, Sequence[UseRow]]
    """By client."""
    stopped: frozenset[str]
    """Thumbprints that nobody gets in with, whatever its trust sets say."""


@dataclass(frozen=True, slots=True)
class Affected:
    """One client that names the set, and what the removal means for it."""

    client_id: str
    outlook: Outlook
    last: UseRow | None
    """Its last use of a certificate; None: it was never seen."""
    going: UseRow | None = None
    """What it goes on with in part."""
    stopping: tuple[UseRow, ...] = ()
    """What it does not go on with then."""


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
    with desk.db.read() as conn:
        rows, registered = trust.listed(conn), clients.listed(conn)
        used = _uses(conn, registered, name)
    out = stopped(desk, [use for each in used.values() for use in each])
    if dry_run:
        return _removal(find(rows, name), text, rows, registered, Seen(used, out))
    with registry.change(desk.db) as conn:
        rows, registered = trust.listed(conn), clients.listed(conn)
        seen = Seen(_uses(conn, registered, name), out)
        removal = _removal(find(rows, name), text, rows, registered, seen)
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


def _uses(
    conn: Transaction, registered: Sequence[ClientRow], name: str
) -> dict[str, Sequence[UseRow]]:
    naming = [row.client_id for row in registered if name in row.trust_sets]
    return {client_id: uses.of_client(conn, client_id) for client_id in naming}


def _removal(
    before: TrustSetRow,
    text: str | None,
    rows: Sequence[TrustSetRow],
    registered: Sequence[ClientRow],
    seen: Seen,
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
        forecast(row.client_id, Held(row, sets_before), Held(row, sets_after), seen)
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


@dataclass(frozen=True, slots=True)
class Held:
    """The trust sets that count for a client."""

    client: ClientRow
    sets: Mapping[str, TrustSetRow]

    @property
    def rows(self) -> list[TrustSetRow]:
        """Those of them that there are."""
        return [self.sets[name] for name in self.client.trust_sets if name in self.sets]


def forecast(client_id: str, before: Held, after: Held, seen: Seen) -> Affected:
    """What it means for a client that these trust sets count for it in the place of those."""
    now = clock.now()
    by_path = [use for use in seen.used.get(client_id, ()) if use.trust_set is not None]
    last = next(iter(by_path), None)
    usable = [use for use in by_path if use.not_after > now and use.thumbprint not in seen.stopped]
    held = still_used(usable)
    if by_path and not usable:
        return Affected(client_id, "stopped", last)
    if not any(row.role == "anchor" for one in after.rows for row in one.anchors):
        return Affected(client_id, "stops", last)
    outlooks = {use: _outlook(use, before, after) for use in held}
    stopping = tuple(use for use in held if outlooks[use] == "stops")
    going = next((use for use in held if outlooks[use] == "goes on"), None)
    if stopping and going:
        return Affected(client_id, "in part", last, going, stopping)
    found = set(outlooks.values())
    return Affected(client_id, found.pop() if len(found) == 1 else "unclear", last)


def _outlook(use: UseRow, before: Held, after: Held) -> Outlook:
    had, keeps = _vouchers(before.rows, use.issuer), _vouchers(after.rows, use.issuer)
    if had and not keeps:
        return "stops"
    return "goes on" if had and had <= keeps else "unclear"


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
