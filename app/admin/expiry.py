"""Certificates that end soon and were not replaced: registered ones, and those clients were seen with."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import clock
from app.admin.desk import Desk
from app.admin.life_cycle import in_force, is_denied
from app.store import clients, credentials, denied, uses
from app.store.credentials import CredentialRow


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


def expiring(desk: Desk, within: int) -> Sequence[Expiring]:
    """What ends within so many seconds, or has ended, with nothing in its place; the first first.

    Not among them: certificates of disabled clients, retired or revoked ones, and those whose
    client has another one (or a registered key) that is good for longer.
    """
    now = clock.now()
    before = now + within
    with desk.db.read() as conn:
        enabled = [row.client_id for row in clients.listed(conn) if row.disabled_at is None]
        registered: dict[str, list[CredentialRow]] = {client_id: [] for client_id in enabled}
        for row in credentials.listed(conn):
            if row.client_id in registered:
                registered[row.client_id].append(row)
        learned = uses.expiring(conn, before)
        stopped = denied.snapshot(conn)
        seen = {
            (use.client_id, use.thumbprint): use.last_used
            for client_id in enabled
            if registered[client_id]
            for use in uses.of_client(conn, client_id)
        }
    found = [
        Expiring(
            row.client_id,
            row.thumbprint,
            row.subject or "",
            row.not_after,
            registered=True,
            last_used=seen.get((row.client_id, row.thumbprint)),
        )
        for client_id in enabled
        for row in _ending(in_force(registered[client_id], stopped, now), before)
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
        for use in learned
        # Of a client with registered certificates and keys, the registration says what counts.
        if not registered.get(use.client_id) and not is_denied(use, stopped)
    ]
    return sorted(found, key=lambda one: (one.not_after, one.client_id))


def _ending(rows: Sequence[CredentialRow], before: int) -> Sequence[CredentialRow]:
    """Those that end before, unless one of the others lasts beyond."""
    lasting = [
        row
        for row in rows
        if (row.not_after is None or row.not_after >= before)
        and (row.retire_at is None or row.retire_at >= before)
    ]
    return [] if lasting else rows
