"""Searching the audit, however long it is: slice by slice back in time, each a short query.

Guarantees the last entries that match every given member. Serial numbers stand in the bodies only,
so a search for one reads them all: dates bound it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.admin.desk import Desk
from app.store import audit
from app.store.audit import AuditRow, Wanted
from app.store.told import told

_SLICE = 200_000
"""Entries per query where the index answers: some 20 ms."""
_READ_SLICE = 5_000
"""Entries per query where bodies are read: some 5 MB."""

Progress = Callable[[int], None]
"""Gets how many entries were looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """Entries, oldest first; `more`: the limit was reached before the end."""

    rows: Sequence[AuditRow]
    more: bool


def search(
    desk: Desk,
    wanted: Wanted,
    count: int,
    *,
    serial: str | None = None,
    progress: Progress = lambda _seen: None,
) -> Found:
    """The last `count` entries as wanted, of certificates with this serial number (hexadecimal)."""
    if serial is not None:
        wanted = replace(wanted, words=(*wanted.words, f'"serial":"{serial}"'))
    step = _READ_SLICE if wanted.words else _SLICE
    rows: list[AuditRow] = []
    until, seen = wanted.until_ms, 0
    while True:
        with desk.db.read() as conn:
            begin = audit.dated_before(conn, until, step)
            since = max(begin or 0, wanted.since_ms or 0)
            part = replace(wanted, since_ms=since, until_ms=until)
            found = audit.search(conn, part, count + 1 - len(rows))
        rows = [*(row for row in found if _has_serial(row, serial)), *rows]
        seen += step
        if len(rows) > count:
            return Found(rows[-count:] if count else [], more=True)
        if begin is None or begin <= (wanted.since_ms or 0):
            return Found(rows, more=False)
        until = begin
        progress(seen)


def _has_serial(row: AuditRow, serial: str | None) -> bool:
    """Asked again of the body as it is read: the database looked for a piece of text only."""
    if serial is None:
        return True
    certificate = told(row.body).get("certificate")
    return isinstance(certificate, dict) and certificate.get("serial") == serial
