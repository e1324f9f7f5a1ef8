"""Which clients have no certificate that counts, as far as is known here.

Guarantees nothing that decisions depend on. A client known by a name may come with a new certificate
at any time: it is told by those that it was seen with. Of a client with a ``jwks_uri`` nothing is said.
"""

from collections import Counter
from collections.abc import Sequence

from app import clock
from app.admin.denied_known import DenyList
from app.admin.desk import Desk
from app.admin.shut_out import shut_out
from app.store import clients, credentials, uses
from app.store.credentials import CredentialRow

COUNTING = ("staged", "active", "retiring")
"""Those that count or will."""


def none_left(desk: Desk) -> dict[str, str]:
    """By client why none of its certificates counts; clients with one, or never seen, left out.

    Reads the lists of sets that ask them: seconds for one of a million entries.
    """
    now = clock.now()
    with desk.db.read() as conn:
        known = [row for row in clients.listed(conn) if row.jwks_uri is None]
        denied = DenyList.read(conn)
        registered: dict[str, list[CredentialRow]] = {}
        for row in credentials.listed(conn):
            registered.setdefault(row.client_id, []).append(row)
        seen = [use for use in uses.in_date(conn, now) if use.client_id not in registered]
    rest = [use for use in seen if not denied.of_use(use)]
    refused = {use: state for use, (state, _) in shut_out(desk, known, rest).items()}
    states: dict[str, list[str]] = {}
    for client_id, rows in registered.items():
        states[client_id] = [_state(row, denied, now) for row in rows]
    for use in seen:
        state = "revoked" if denied.of_use(use) else refused.get(use, "active")
        states.setdefault(use.client_id, []).append(state)
    return {
        client.client_id: _words(those)
        for client in known
        if (those := states.get(client.client_id)) and not any(one in COUNTING for one in those)
    }


def _state(row: CredentialRow, denied: DenyList, now: int) -> str:
    if denied.of_row(row):
        return "revoked"
    state = row.phase(now)
    ended = row.not_after is not None and row.not_after <= now
    return "expired" if ended and state in COUNTING else state


def _words(states: Sequence[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items()))
