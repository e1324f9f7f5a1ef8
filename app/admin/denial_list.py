"""The deny-list as people read it: one entry for each act, and whom it is about.

Guarantees nothing that decisions depend on: subject and clients are what is known here now.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.admin.desk import Desk
from app.store import credentials, denied, uses
from app.store.denied import DeniedRow
from app.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Act:
    """One revocation."""

    row: DeniedRow
    subjects: tuple[str, ...]
    """Of the certificates that it covers and that were seen or registered."""
    clients: tuple[str, ...]
    """Who used or registered one."""


def acts(desk: Desk) -> Sequence[Act]:
    """Every act, the oldest first."""
    with desk.db.read() as conn:
        return [_act(conn, row) for row in denied.listed(conn)]


def _act(conn: Transaction, row: DeniedRow) -> Act:
    if row.kind == "spki":
        used, registered = uses.by_key(conn, row.value), credentials.by_key(conn, row.value)
    elif row.kind == "thumbprint":
        used = uses.by_thumbprint(conn, row.value)
        if row.tbs_sha256:
            used = uses.by_content(conn, row.tbs_sha256)
        registered = credentials.by_thumbprint(conn, row.value)
    else:
        serial, _, issuer = row.value.partition(" ")
        used, registered = uses.by_serial(conn, issuer, serial), ()
    subjects = [use.subject for use in used] + [one.subject or "" for one in registered]
    names = {use.client_id for use in used} | {one.client_id for one in registered}
    return Act(row, tuple(dict.fromkeys(filter(None, subjects))), tuple(sorted(names)))
