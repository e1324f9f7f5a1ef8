"""Who would stop authenticating when trust sets change: forecasts, from what clients were seen with.

Goes by the certificates that each client's instances may still hold, by their issuers' names. Leaf
certificates are not stored, so where only their path could tell it says so (`unclear`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app import clock
from app.admin.desk import Desk
from app.admin.still_used import still_used, stopped
from app.pki import check
from app.store import clients, uses
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

    @classmethod
    def at(cls, desk: Desk, name: str) -> "Seen":
        """Of the clients that name this trust set. May take seconds: not inside a write."""
        with desk.db.read() as conn:
            naming = [row for row in clients.listed(conn) if name in row.trust_sets]
            used = uses_of(conn, naming)
        return cls(used, stopped(desk, [use for each in used.values() for use in each]))

    @classmethod
    def of(cls, desk: Desk, client_id: str) -> "Seen":
        """The same of one client."""
        with desk.db.read() as conn:
            used = uses.of_client(conn, client_id)
        return cls({client_id: used}, stopped(desk, used))


@dataclass(frozen=True, slots=True)
class Affected:
    """One client that names the set, and what the change means for it."""

    client_id: str
    outlook: Outlook
    last: UseRow | None
    """Its last use of a certificate; None: it was never seen."""
    going: UseRow | None = None
    """What it goes on with in part."""
    stopping: tuple[UseRow, ...] = ()
    """What it does not go on with then."""


@dataclass(frozen=True, slots=True)
class Held:
    """The trust sets that count for a client."""

    client: ClientRow
    sets: Mapping[str, TrustSetRow]

    @property
    def rows(self) -> list[TrustSetRow]:
        """Those of them that there are."""
        return [self.sets[name] for name in self.client.trust_sets if name in self.sets]

    @property
    def anchors(self) -> frozenset[TrustAnchorRow]:
        """All that these hold."""
        return frozenset(row for one in self.rows for row in one.anchors)


def forecast(client_id: str, before: Held, after: Held, seen: Seen) -> Affected:
    """What it means for a client that these trust sets count for it in the place of those."""
    now = clock.now()
    by_path = [use for use in seen.used.get(client_id, ()) if use.trust_set is not None]
    last = next(iter(by_path), None)
    usable = [use for use in by_path if use.not_after > now and use.thumbprint not in seen.stopped]
    held = still_used(usable)
    if by_path and not usable:
        return Affected(client_id, "stopped", last)
    if not any(row.role == "anchor" for row in after.anchors):
        return Affected(client_id, "stops", last)
    if before.anchors == after.anchors:
        return Affected(client_id, "goes on", last)
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


def uses_of(conn: Transaction, registered: Sequence[ClientRow]) -> dict[str, Sequence[UseRow]]:
    """What these clients were seen with, by client."""
    return {row.client_id: uses.of_client(conn, row.client_id) for row in registered}
