"""Who would stop authenticating when trust sets change: forecasts, from what clients were seen with.

Goes by the certificates that each client's instances may still hold, by their issuers' names. Leaf
certificates are not stored, so where only their path could tell it says so (`unclear`): whatever a CA
between client and anchor is, for clients send it along; and whatever another set's CRLs or responder
will say. Sets that may not vouch for the client's name, and anchors out of date, count for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app import clock
from app.admin.client_checks import admits, registered_names
from app.admin.desk import Desk
from app.admin.still_used import still_used, stopped
from app.pki import check, spiffe
from app.store import clients, uses
from app.store.clients import ClientRow
from app.store.engine import Transaction
from app.store.trust import RevocationRow, TrustAnchorRow, TrustSetRow
from app.store.uses import QUIET, UseRow

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
        """Those of them that there are and that may vouch for its name, in the client's order."""
        known = [self.sets[name] for name in self.client.trust_sets if name in self.sets]
        names = registered_names(self.client)
        if _is_spiffe(self.client) and any(one.trust_domain is not None for one in known):
            known = [one for one in known if one.trust_domain is not None]
        return [one for one in known if admits(one, names)]


def forecast(client_id: str, before: Held, after: Held, seen: Seen) -> Affected:
    """What it means for a client that these trust sets count for it in the place of those."""
    now = clock.now()
    by_path = [use for use in seen.used.get(client_id, ()) if use.trust_set is not None]
    last = next(iter(by_path), None)
    usable = [use for use in by_path if use.not_after > now and use.thumbprint not in seen.stopped]
    recent = [use for use in usable if use.last_used > now - QUIET]
    held = [use for use in usable if use in recent or use in still_used(usable)]
    if by_path and not usable:
        return Affected(client_id, "stopped", last)
    rows = before.rows, after.rows
    if not any(_anchors(one, now) for one in rows[1]):
        return Affected(client_id, "stops", last)
    if rows[0] == rows[1]:
        return Affected(client_id, "goes on", last)
    outlooks = {use: _outlook(use, *rows, now) for use in held}
    stopping = tuple(use for use in held if outlooks[use] == "stops")
    going = next((use for use in held if outlooks[use] == "goes on"), None)
    if stopping and going:
        return Affected(client_id, "in part", last, going, stopping)
    found = set(outlooks.values())
    return Affected(client_id, found.pop() if len(found) == 1 else "unclear", last)


def _outlook(
    use: UseRow, before: Sequence[TrustSetRow], after: Sequence[TrustSetRow], now: int
) -> Outlook:
    had = {key for one in before for key in _vouchers(one, use.issuer, now)}
    keeps = {one.name: _vouchers(one, use.issuer, now) for one in after}
    keys = {key for each in keeps.values() for key in each}
    pinned = any(row.subject == use.issuer for one in before for row in _anchors(one, now))
    if pinned and not keys:
        return "stops"
    if not had or not had <= keys:
        return "unclear"
    # The first that has a path decides, by its own revocation policy; no other is tried after it.
    first = next(one for one in after if keeps[one.name])
    same = first.name == use.trust_set and first.revocation == _policy(before, first.name)
    return "goes on" if same or first.revocation.mode == "off" else "unclear"


def _policy(sets: Sequence[TrustSetRow], name: str) -> RevocationRow | None:
    return next((one.revocation for one in sets if one.name == name), None)


def _vouchers(one: TrustSetRow, issuer: str, now: int) -> frozenset[str]:
    """Keys of the set's CAs of this name that lead, by names, to one of its anchors."""
    return frozenset(
        check.describe(row.der).spki_sha256 for row in _leading(one, now) if row.subject == issuer
    )


def _anchors(one: TrustSetRow, now: int) -> list[TrustAnchorRow]:
    """Those in date."""
    return [row for row in one.anchors if row.role == "anchor" and row.not_after > now]


def _is_spiffe(client: ClientRow) -> bool:
    text = client.subject_text or ""
    return client.spiffe_id is not None or (
        client.subject_attribute == "san_uri" and spiffe.is_spiffe_uri(text)
    )


def _leading(one: TrustSetRow, now: int) -> list[TrustAnchorRow]:
    """The members from which the issuers' names lead to an anchor."""
    found = _anchors(one, now)
    members = [row for row in one.anchors if row.role != "anchor" and row.not_after > now]
    waiting = {row: check.describe(row.der).issuer for row in members}
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
