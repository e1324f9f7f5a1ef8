"""Reads the audit table as a suspicious person would: every stream recomputed from its bodies."""

from itertools import groupby

from sqlalchemy import Connection

from app.store import audit
from app.store.audit import AuditRow


def entries(conn: Connection) -> list[AuditRow]:
    """Everything, by stream and in its order."""
    rows = audit.search(conn, count=1_000_000)
    return sorted(rows, key=lambda row: (row.writer, row.seq))


def unbroken(conn: Connection) -> bool:
    """Whether each stream counts from 1 without gaps and every hash follows from the one before."""
    for writer, rows in groupby(entries(conn), key=lambda row: row.writer):
        head = bytes(32)
        for seq, row in enumerate(rows, start=1):
            follows = audit.link(head, writer, row.seq, row.at_ms, row.body)
            if (row.seq, row.prev, row.hash) != (seq, head, follows):
                return False
            head = row.hash
    return True
