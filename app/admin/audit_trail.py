"""Reading the audit trail as it grows."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from app.admin.desk import Desk
from app.store import audit
from app.store.audit import AuditRow

OVERLAP_MS = 10_000
"""Entries are dated before they are committed, and many writers commit in any order: each look
reaches back this far and leaves out what was seen."""
AT_ONCE = 10_000
"""Entries per look. Beyond that the oldest of them are passed over: a person could not read them."""


def tail(desk: Desk, count: int) -> Sequence[AuditRow]:
    """The last entries of all writers, oldest first."""
    with desk.db.read() as conn:
        return audit.tail(conn, count)


class Follower:
    """Gives each entry once, as looks go on."""

    def __init__(self, desk: Desk, seen: Sequence[AuditRow]) -> None:
        self._desk = desk
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._newest = 0
        self._remember(seen)

    def look(self) -> Iterator[AuditRow]:
        """The entries that appeared since the last look, oldest first."""
        since = max(self._newest - OVERLAP_MS, 0)
        with self._desk.db.read() as conn:
            rows = audit.search(conn, audit.Wanted(since_ms=since), count=AT_ONCE)
        fresh = [row for row in rows if (row.writer, row.seq) not in self._seen]
        self._remember(fresh)
        yield from fresh

    def _remember(self, rows: Sequence[AuditRow]) -> None:
        for row in rows:
            self._seen[row.writer, row.seq] = None
            self._newest = max(self._newest, row.at_ms)
        while len(self._seen) > 2 * AT_ONCE:
            self._seen.popitem(last=False)
