"""Where signed checkpoints of the audit are kept, numbered without gaps.

The database decides races: of several processes that write the same number, one does. What a
statement says, and whether it is genuine, is for `app.keys.checkpoint`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, select

from app.store.engine import insert_if_absent
from app.store.places import misplaced, placed
from app.store.tables import audit_checkpoints
from app.store.told import number as told_number

Kind = Literal["heads", "whole", "cut"]
"""``heads``: the streams that moved since the one before; ``whole``: all of them; ``cut``: all of
them and where each begins since older entries were removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """One checkpoint as stored."""

    number: int
    at: int
    kind: Kind
    statement: str


def put(conn: Connection, row: CheckpointRow) -> bool:
    """Keep it; False where another process has written this number meanwhile."""
    return insert_if_absent(conn, audit_checkpoints, asdict(row))


def newest(conn: Connection, kinds: Sequence[Kind] = ()) -> CheckpointRow | None:
    """The last one, of these kinds if any are named."""
    query = select(audit_checkpoints).where(placed(conn, audit_checkpoints.c.number))
    if kinds:
        query = query.where(audit_checkpoints.c.kind.in_(kinds))
    rows = _rows(conn, query.order_by(audit_checkpoints.c.number.desc()).limit(1))
    return rows[0] if rows else None


def find(conn: Connection, number: int) -> CheckpointRow | None:
    """The one of this number."""
    rows = _rows(conn, select(audit_checkpoints).where(audit_checkpoints.c.number == number))
    return rows[0] if rows else None


def after(conn: Connection, number: int, count: int) -> Sequence[CheckpointRow]:
    """The next `count` behind this number, in order."""
    query = select(audit_checkpoints).where(
        audit_checkpoints.c.number > number, placed(conn, audit_checkpoints.c.number)
    )
    return _rows(conn, query.order_by(audit_checkpoints.c.number).limit(count))


def first_since(conn: Connection, at: int) -> int | None:
    """The number of the first one that was signed at this moment or later."""
    query = select(audit_checkpoints.c.number).where(
        audit_checkpoints.c.at >= at, placed(conn, audit_checkpoints.c.number)
    )
    return conn.execute(query.order_by(audit_checkpoints.c.number).limit(1)).scalar()


def forget_before(conn: Connection, number: int) -> int:
    """Remove those below this number; how many."""
    query = delete(audit_checkpoints).where(audit_checkpoints.c.number < number)
    return conn.execute(query).rowcount


def strays(conn: Connection) -> Sequence[tuple[str, ...]]:
    """What stands in place of a number, where that is none; see `app.store.places`."""
    return misplaced(conn, audit_checkpoints, "number")


def _rows(conn: Connection, query: Select[Any]) -> list[CheckpointRow]:
    # SQLite takes anything anywhere; what is no text was signed by nobody, nor what has no date.
    return [
        CheckpointRow(**{**row, "statement": str(row["statement"]), "at": told_number(row["at"])})
        for row in conn.execute(query).mappings()
    ]
