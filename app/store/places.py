"""Which places in a numbered table are places at all: SQLite takes a value of any type anywhere.

Guarantees: what is read by number, in order, or as the last one has a number that one of ours could
have been given, so that it can be counted on from. What somebody gave another number, a piece of
text for one, is left out of that and found by `misplaced`, for `certbound audit verify` to tell.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, not_, select

MOST = 2**53
"""More entries than a stream can get in a thousand years; the most that JSON readers count to."""
_TOLD = 100


def placed(conn: Connection, number: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the number is one; an index on it still serves to find the greatest."""
    within = number.between(1, MOST)  # text and octets are greater than any number in SQLite
    if conn.dialect.name != "sqlite":
        return within
    return and_(within, func.typeof(number) == "integer")


def misplaced(conn: Connection, table: Table, *columns: str) -> Sequence[tuple[str, ...]]:
    """These columns, the number last, of rows without a place, as they are spelled in Python.

    Reads the whole table; at most a hundred rows are told.
    """
    *texts, number = (table.c[name] for name in columns)
    fits = placed(conn, number)
    if conn.dialect.name == "sqlite":
        fits = and_(fits, *(func.typeof(text) == "text" for text in texts))
    query = select(*texts, number).where(not_(fits)).limit(_TOLD)
    return [tuple(map(_spelled, row)) for row in conn.execute(query)]


def _spelled(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else repr(value)
