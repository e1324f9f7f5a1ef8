"""The audit stream by stream: where each stands, its entries in order, its oldest ones removed.

Only here are entries ever deleted, and only by `remove`; who may ask for that is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, tuple_

from app.store.audit import AuditRow, rows_of
from app.store.places import misplaced, placed
from app.store.tables import audit
from app.store.told import number, octets


class Head(NamedTuple):
    """A place in a stream: an entry's number and its hash."""

    seq: int
    hash: bytes


def heads(conn: Connection) -> dict[str, Head]:
    """The last entry of every stream. Costs two index look-ups per stream, however long they are."""
    more, own = audit.alias("more"), audit.alias("own")
    names = select(func.min(audit.c.writer).label("writer")).cte("streams", recursive=True)
    following = select(func.min(more.c.writer)).where(more.c.writer > names.c.writer)
    names = names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.writer.is_not(None))
    )
    of_writer = (own.c.writer == names.c.writer, placed(conn, own.c.seq))
    last = select(func.max(own.c.seq)).where(*of_writer).correlate(names)
    query = select(audit.c.writer, audit.c.seq, audit.c.hash).select_from(
        names.join(
            audit, (audit.c.writer == names.c.writer) & (audit.c.seq == last.scalar_subquery())
        )
    )
    return {
        row.writer: Head(row.seq, octets(row.hash))
        for row in conn.execute(query)
        if isinstance(row.writer, str)
    }


def hashes(conn: Connection, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], bytes]:
    """The stored hash of each of these entries that is there. At most a few hundred at once."""
    query = select(audit.c.writer, audit.c.seq, audit.c.hash).where(
        tuple_(audit.c.writer, audit.c.seq).in_(places)
    )
    return {(row.writer, row.seq): octets(row.hash) for row in conn.execute(query)}


def page(conn: Connection, writer: str, after: int, count: int) -> Sequence[AuditRow]:
    """The next `count` entries of a stream behind number `after`."""
    query = select(audit).where(
        audit.c.writer == writer, audit.c.seq > after, placed(conn, audit.c.seq)
    )
    return rows_of(conn.execute(query.order_by(audit.c.seq).limit(count)))


def first_kept(conn: Connection, writer: str, since_ms: int, after: int, count: int) -> int | None:
    """The first of the next `count` entries behind `after` that is not older than `since_ms`."""
    query = select(audit.c.seq, audit.c.at_ms).where(
        audit.c.writer == writer, audit.c.seq > after, placed(conn, audit.c.seq)
    )
    rows = conn.execute(query.order_by(audit.c.seq).limit(count))
    return next((row.seq for row in rows if number(row.at_ms) >= since_ms), None)


def strays(conn: Connection) -> Sequence[tuple[str, ...]]:
    """Stream and number of each entry that has none; see `app.store.places`. Reads all entries."""
    return misplaced(conn, audit, "writer", "seq")


def remove(conn: Connection, writer: str, below: int, batch: int) -> int:
    """Delete up to `batch` entries of a stream with numbers below this one; how many."""
    oldest = (select(audit.c.seq).where(audit.c.writer == writer, audit.c.seq < below)).order_by(
        audit.c.seq
    )
    query = delete(audit).where(audit.c.writer == writer, audit.c.seq.in_(oldest.limit(batch)))
    return conn.execute(query).rowcount
