"""Status lists: which exist, and which places on one are revoked.

A list's row is written with its first token, so a token never refers to a list that is not there.
The places are the tokens' own rows: what revokes a token needs no list.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Connection, cast, delete, func, select

from app.store.engine import insert_if_absent
from app.store.tables import status_lists, tokens

Mark = tuple[int, int, int]
"""See `mark`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusListRow:
    """One list; no token on it is accepted after `ends_at`, by whatever clock."""

    id: str
    opened_at: int
    ends_at: int


def put(conn: Connection, row: StatusListRow) -> bool:
    """Note that the list exists; False when that was known."""
    return insert_if_absent(conn, status_lists, asdict(row))


def find(conn: Connection, list_id: str) -> StatusListRow | None:
    """The list of this id, or None: there is none, or all its tokens have expired."""
    query = select(status_lists).where(status_lists.c.id == list_id)
    row = conn.execute(query).mappings().one_or_none()
    return StatusListRow(**row) if row else None


def revoked(conn: Connection, list_id: str) -> Sequence[int]:
    """The places on the list whose tokens are revoked and not yet purged."""
    query = select(tokens.c.status_index).where(
        tokens.c.status_list == list_id, tokens.c.revoked_at.is_not(None)
    )
    return conn.execute(query).scalars().all()


def mark(conn: Connection, list_id: str) -> Mark:
    """What tells one set of revoked places from another, without handing them over.

    How many there are, their sum and the sum of their squares: two sets of up to two places never
    share it, and larger ones of random places, some of which were purged while others came, with
    a chance of one in 2 to the power of 40 at most. It is read from the index alone.
    """
    place = cast(tokens.c.status_index, BigInteger)
    query = select(func.count(), func.sum(place), func.sum(place * place)).where(
        tokens.c.status_list == list_id, tokens.c.revoked_at.is_not(None)
    )
    count, total, squares = conn.execute(query).one()
    return count, int(total or 0), int(squares or 0)


def purge(conn: Connection, before: int) -> int:
    """Forget the lists that ended before this moment; how many."""
    return conn.execute(delete(status_lists).where(status_lists.c.ends_at < before)).rowcount
