"""Hands that reach past the server into its database: entries edited, removed, moved, put in."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from app.store import audit
from app.store.audit import AuditRow
from app.store.streams import page
from app.store.tables import audit as table

EVERYTHING = 100_000


def stream(conn: Connection, writer: str) -> Sequence[AuditRow]:
    """All of a stream."""
    return page(conn, writer, 0, EVERYTHING)


def longest(conn: Connection) -> str:
    """The stream with most entries."""
    writers: list[str] = list(conn.execute(select(table.c.writer)).scalars())
    return max(set(writers), key=writers.count)


def edit(conn: Connection, writer: str, seq: int, /, **values: object) -> None:
    """Change columns of one entry and nothing else."""
    conn.execute(update(table).where(table.c.writer == writer, table.c.seq == seq).values(**values))


def remove(conn: Connection, writer: str, first: int, last: int) -> None:
    """Take entries out."""
    conn.execute(delete(table).where(table.c.writer == writer, table.c.seq.between(first, last)))


def renumber(conn: Connection, writer: str, first: int, by: int) -> None:
    """Move all entries from `first` on by some places, one at a time so that no two meet."""
    rows = [row.seq for row in stream(conn, writer) if row.seq >= first]
    for seq in rows if by < 0 else reversed(rows):
        edit(conn, writer, seq, seq=seq + by)


def swap(conn: Connection, writer: str, one: int, other: int) -> None:
    """Let two entries change places."""
    edit(conn, writer, one, seq=0)
    edit(conn, writer, other, seq=one)
    edit(conn, writer, 0, seq=other)


def copy_in(conn: Connection, row: AuditRow, **values: object) -> None:
    """Put in an entry like another one."""
    members = {name: getattr(row, name) for name in AuditRow.__dataclass_fields__}
    conn.execute(insert(table).values(**(members | values)))


def rewrite(conn: Connection, writer: str, change: Callable[[AuditRow], str]) -> None:
    """Write a whole stream anew with fitting hashes: `change` gives each entry's body."""
    head = bytes(32)
    for row in stream(conn, writer):
        body = change(row)
        prev, head = head, audit.link(head, writer, row.seq, row.at_ms, body)
        edit(conn, writer, row.seq, body=body, prev=prev, hash=head)
