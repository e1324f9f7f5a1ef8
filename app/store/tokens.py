"""Records of issued tokens. The token itself is never stored.

Rows are written by the journal only, so none exists without its audit entry.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from app.jose.jwt import MOST_LEEWAY
from app.store.engine import allow_time
from app.store.rows import execute, insert_rows
from app.store.tables import tokens

_IN = 30_000
"""Values in one statement: SQLite takes 32,766, PostgreSQL 65,535."""
KEPT_AFTER = 2 * MOST_LEEWAY
"""Seconds after a token's end that its record is kept, and its status list. A resource accepts a token
that long at most: its leeway, and as much again that its clock may be behind. A revoked one must
not leave the list earlier, or it would be accepted once more."""
_WALK = 60
"""Seconds that revoking may take on PostgreSQL: a million at once takes some five."""


class TokenRow(NamedTuple):
    """What was issued to whom, bound to which certificate. Members in the table's order.

    A tuple: one is made for every token, and is what the driver takes.
    """

    jti: str
    client_id: str
    subject: str
    resource: str
    scope: str
    thumbprint: str
    kid: str
    issued_at: int
    expires_at: int
    revoked_at: int | None = None
    status_list: str | None = None
    """The status list it stands on; None for tokens of a release without them."""
    status_index: int | None = None


def insert_many(conn: Connection, rows: Sequence[TokenRow]) -> None:
    """Record tokens; a repeated jti raises `sqlalchemy.exc.IntegrityError` and none is recorded."""
    insert_rows(conn, tokens, rows)


def find(conn: Connection, jti: str) -> TokenRow | None:
    """The record of this token, or None: never issued here, or purged after it expired."""
    row = conn.execute(select(tokens).where(tokens.c.jti == jti)).mappings().one_or_none()
    return TokenRow(**row) if row else None


def find_many(conn: Connection, jtis: Sequence[str]) -> dict[str, TokenRow]:
    """The records of those of these tokens that have one, by jti.

    The driver's own statement: through the expression language one look-up would cost twice as much.
    """
    if conn.dialect.name == "postgresql":
        return _rows(conn, f"{_SELECT} = ANY(%s)", (list(jtis),)) if jtis else {}
    found: dict[str, TokenRow] = {}
    start = 0
    while left := len(jtis) - start:
        # 2^n at a time, at most 128, so that few statements stay prepared.
        size = min(1 << (left.bit_length() - 1), 128)
        marks = ",".join("?" * size)
        found |= _rows(conn, f"{_SELECT} IN ({marks})", tuple(jtis[start : start + size]))
        start += size
    return found


_SELECT = f"SELECT {', '.join(c.name for c in tokens.columns)} FROM tokens WHERE jti"  # noqa: S608 -- names from tables.py


def _rows(conn: Connection, statement: str, values: tuple[Any, ...]) -> dict[str, TokenRow]:
    return {row[0]: TokenRow(*row) for row in execute(conn, statement, values)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Tokens that resource servers still accept."""

    count: int
    until: int | None
    """When the last of them expires, by their own word; None where there is none."""


def outstanding(
    conn: Connection,
    now: int,
    *,
    client_id: str | None = None,
    thumbprints: Collection[str] | None = None,
    leeway: int = MOST_LEEWAY,
) -> Outstanding:
    """The unrevoked tokens of this client, bound to one of these certificates, or both.

    Those that ended less than `leeway` seconds ago too: resources may accept them still.
    """
    now -= leeway
    query = select(func.count(), func.max(tokens.c.expires_at))
    found = [conn.execute(query.where(one)).one() for one in _of(now, client_id, thumbprints)]
    ends = [until for _, until in found if until is not None]
    return Outstanding(count=sum(count for count, _ in found), until=max(ends, default=None))


def revoke(conn: Connection, jtis: Collection[str], at: int) -> set[str]:
    """Refuse these tokens from now on; those that were not refused yet. Unknown ones do not matter."""
    query = update(tokens).where(tokens.c.jti.in_(jtis), tokens.c.revoked_at.is_(None))
    return set(conn.execute(query.values(revoked_at=at).returning(tokens.c.jti)).scalars())


def revoke_outstanding(
    conn: Connection,
    now: int,
    *,
    client_id: str | None = None,
    thumbprints: Collection[str] | None = None,
) -> Outstanding:
    """Refuse every token that `outstanding` counts, from now on; how many, and until when else.

    It walks the unexpired tokens: 0.1 seconds for a million, and some more for each that is refused.

    Raises:
        ValueError: neither a client nor certificates are given.

    """
    if client_id is None and thumbprints is None:
        raise ValueError("whose tokens?")
    allow_time(conn, _WALK)
    ends: list[int] = []
    for one in _of(now - MOST_LEEWAY, client_id, thumbprints):
        query = update(tokens).where(one).values(revoked_at=now).returning(tokens.c.expires_at)
        ends += conn.execute(query).scalars()
    return Outstanding(count=len(ends), until=max(ends, default=None))


def revoke_every(conn: Connection, now: int) -> int:
    """Refuse every unexpired token from now on; how many were not refused yet."""
    allow_time(conn, _WALK)
    (alive,) = _of(now, None, None)
    return conn.execute(update(tokens).where(alive).values(revoked_at=now)).rowcount


def _of(
    now: int, client_id: str | None, thumbprints: Collection[str] | None
) -> Iterator[ColumnElement[bool]]:
    """What ends after `now` and is not revoked, in parts that a statement has room for."""
    alive = (tokens.c.expires_at > now) & tokens.c.revoked_at.is_(None)
    if client_id is not None:
        alive &= tokens.c.client_id == client_id
    if thumbprints is None:
        yield alive
        return
    given = sorted(thumbprints)
    for start in range(0, len(given), _IN):
        yield alive & tokens.c.thumbprint.in_(given[start : start + _IN])


def purge_expired(conn: Connection, before: int, *, batch: int = 1000) -> int:
    """Forget up to `batch` tokens that expired before this moment; how many.

    Call it again while it returns `batch`, each time in its own transaction: writers wait meanwhile.
    """
    expired = select(tokens.c.jti).where(tokens.c.expires_at < before).limit(batch)
    return conn.execute(delete(tokens).where(tokens.c.jti.in_(expired))).rowcount
