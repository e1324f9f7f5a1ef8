"""Records of issued tokens. The token itself is never stored.

Rows are written by the journal only, so none exists without its audit entry.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from app.store.engine import insert_rows
from app.store.tables import tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """What was issued to whom, bound to which certificate. Members in the table's order."""

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
    insert_rows(
        conn,
        tokens,
        [
            (
                row.jti,
                row.client_id,
                row.subject,
                row.resource,
                row.scope,
                row.thumbprint,
                row.kid,
                row.issued_at,
                row.expires_at,
                row.revoked_at,
                row.status_list,
                row.status_index,
            )
            for row in rows
        ],
    )


def find(conn: Connection, jti: str) -> TokenRow | None:
    """The record of this token, or None: never issued here, or purged after it expired."""
    row = conn.execute(select(tokens).where(tokens.c.jti == jti)).mappings().one_or_none()
    return TokenRow(**row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Tokens that resource servers still accept."""

    count: int
    until: int | None
    """When the last of them expires; None where there is none."""


def outstanding(
    conn: Connection,
    now: int,
    *,
    client_id: str | None = None,
    thumbprints: Collection[str] | None = None,
) -> Outstanding:
    """The unexpired, unrevoked tokens of this client, bound to one of these certificates, or both."""
    query = select(func.count(), func.max(tokens.c.expires_at)).where(
        tokens.c.expires_at > now, tokens.c.revoked_at.is_(None)
    )
    if client_id is not None:
        query = query.where(tokens.c.client_id == client_id)
    if thumbprints is not None:
        query = query.where(tokens.c.thumbprint.in_(thumbprints))
    count, until = conn.execute(query).one()
    return Outstanding(count=count, until=until)


def revoke(conn: Connection, jtis: Collection[str], at: int) -> int:
    """Refuse these tokens from now on; how many were not refused yet. Unknown ones do not matter."""
    query = update(tokens).where(tokens.c.jti.in_(jtis), tokens.c.revoked_at.is_(None))
    return conn.execute(query.values(revoked_at=at)).rowcount


def revoke_outstanding(
    conn: Connection,
    now: int,
    *,
    client_id: str | None = None,
    thumbprints: Collection[str] | None = None,
) -> int:
    """Refuse every token that `outstanding` counts, from now on; how many.

    It walks the unexpired tokens: a second for a million.

    Raises:
        ValueError: neither a client nor certificates are given.

    """
    if client_id is None and thumbprints is None:
        raise ValueError("whose tokens?")
    query = update(tokens).where(tokens.c.expires_at > now, tokens.c.revoked_at.is_(None))
    if client_id is not None:
        query = query.where(tokens.c.client_id == client_id)
    if thumbprints is not None:
        query = query.where(tokens.c.thumbprint.in_(thumbprints))
    return conn.execute(query.values(revoked_at=now)).rowcount


def purge_expired(conn: Connection, before: int, *, batch: int = 1000) -> int:
    """Forget up to `batch` tokens that expired before this moment; how many.

    Call it again while it returns `batch`, each time in its own transaction: writers wait meanwhile.
    """
    expired = select(tokens.c.jti).where(tokens.c.expires_at < before).limit(batch)
    return conn.execute(delete(tokens).where(tokens.c.jti.in_(expired))).rowcount
