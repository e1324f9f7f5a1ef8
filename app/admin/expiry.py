"""Certificates that end soon and were not replaced: registered ones, and those clients were seen with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app import clock
from app.admin.desk import Desk
from app.admin.life_cycle import in_force, is_denied
from app.store import clients, credentials, denied, uses
from app.store.credentials import CredentialRow
from app.store.denied import Denied
from app.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Expiring:
    """One certificate of one enabled client."""

    client_id: str
    thumbprint: str
    subject: str
    not_after: int
    registered: bool
    """False: its trust set vouches for it, and the client was seen with it."""
    last_used: int | None
    """None: never seen."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The certificates of enabled clients, as one transaction sees them."""

    conn: Transaction
    now: int
    registered: dict[str, list[CredentialRow]]
    """By client: what counts or will."""
    by_registration: frozenset[str]
    """Clients with any registered certificate or key: for them the registration says what counts."""
    stopped: Denied

    @classmethod
    def at(cls, conn: Transaction, now: int) -> "InUse":
        """As of this moment."""
        enabled = {row.client_id for row in clients.listed(conn) if row.disabled_at is None}
        stopped = denied.snapshot(conn)
        rows: dict[str, list[CredentialRow]] = {}
        for row in credentials.listed(conn):
            if row.client_id in enabled:
                rows.setdefault(row.client_id, []).append(row)
        counting = {client_id: in_force(found, stopped, now) for client_id, found in rows.items()}
        return cls(conn, now, counting, frozenset(rows), stopped)

    def ending(self, before: int) -> list[Expiring]:
        """What ends before this moment, or has ended, with nothing in its place; the first first.

        Not among them: retired or revoked ones, and those whose client has another one (or a
        registered key) that is good for longer. When registered ones were last used is not told.
        """
        found = [
            _of_row(row)
            for rows in self.registered.values()
            for row in _ending(rows, before)
            if row.thumbprint is not None and row.not_after is not None
        ]
        found += [
            Expiring(
                use.client_id,
                use.thumbprint,
                use.subject,
                use.not_after,
                registered=False,
                last_used=use.last_used,
            )
            for use in uses.expiring(self.conn, before)
            if use.client_id not in self.by_registration and not is_denied(use, self.stopped)
        ]
        return sorted(found, key=lambda one: (one.not_after, one.client_id))

    def first_end(self) -> int | None:
        """When the first client will have no certificate any more, unless it gets another one."""
        ends = [
            max(row.not_after or 0 for row in rows)
            for rows in self.registered.values()
            if rows and all(row.not_after is not None for row in rows)
        ]
        for use in uses.lasting(self.conn, self.now):
            if use.client_id not in self.by_registration and not is_denied(use, self.stopped):
                ends.append(use.not_after)
                break
        return min((end for end in ends if end > self.now), default=None)


def expiring(desk: Desk, within: int) -> Sequence[Expiring]:
    """What ends within so many seconds, or has ended, with nothing in its place; the first first."""
    now = clock.now()
    with desk.db.read() as conn:
        found = InUse.at(conn, now).ending(now + within)
        seen = {
            (use.client_id, use.thumbprint): use.last_used
            for client_id in {one.client_id for one in found if one.registered}
            for use in uses.of_client(conn, client_id)
        }
    return [
        replace(one, last_used=seen.get((one.client_id, one.thumbprint))) if one.registered else one
        for one in found
    ]


def _of_row(row: CredentialRow) -> Expiring:
    return Expiring(
        row.client_id,
        row.thumbprint or "",
        row.subject or "",
        row.not_after or 0,
        registered=True,
        last_used=None,
    )


def _ending(rows: Sequence[CredentialRow], before: int) -> Iterable[CredentialRow]:
    """Those that end before, unless one of the others lasts beyond."""
    lasting = [
        row
        for row in rows
        if (row.not_after is None or row.not_after >= before)
        and (row.retire_at is None or row.retire_at >= before)
    ]
    return [] if lasting else rows
