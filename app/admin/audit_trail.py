"""Reading the audit trail as it grows."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from app import clock
from app.admin.desk import Desk
from app.store import audit
from app.store.audit import AuditRow

OVERLAP_MS = 10_000
"""Entries are dated before they are committed, and many writers commit in any order: each look
reaches back this far and leaves out what was seen."""
AT_ONCE = 10_000
"""Entries per look. Beyond that the oldest of them are passed over: a person could not read them."""


def tail(desk: Desk, count: int, client_id: str | None = None) -> Sequence[AuditRow]:
    """The last entries of all writers, or those of them about one client, oldest first."""
    with desk.db.read() as conn:
        return audit.search(conn, audit.Wanted(client_id=client_id), count)


class Follower:
    """Gives each entry, or each about one client, once, as looks go on."""

    def __init__(self, desk: Desk, seen: Sequence[AuditRow], client_id: str | None = None) -> None:
        self._desk = desk
        self._client_id = client_id
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._newest = 0 if seen else clock.now_ms()
        self._remember(seen)

    def look(self) -> Iterator[AuditRow]:
        """The entries that appeared since the last look, oldest first."""
        since = max(self._newest - OVERLAP_MS, 0)
        with self._desk.db.read() as conn:
            wanted = audit.Wanted(client_id=self._client_id, since_ms=since)
            rows = audit.search(conn, wanted, count=AT_ONCE)
        fresh = [row for row in rows if (row.writer, row.seq) not in self._seen]
        self._remember(fresh)
        yield from fresh

    def _remember(self, rows: Sequence[AuditRow]) -> None:
        for row in rows:
            self._seen[row.writer, row.seq] = None
            self._newest = max(self._newest, row.at_ms)
        while len(self._seen) > 2 * AT_ONCE:
            self._seen.popitem(last=False)
