"""Records of issued tokens. The token itself is never stored.

Rows are written by the journal only, so none exists without its audit entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

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
            )
            for row in rows
        ],
    )


def find(conn: Connection, jti: str) -> TokenRow | None:
    """The record of this token, or None: never issued here, or purged after it expired."""
    row = conn.execute(select(tokens).where(tokens.c.jti == jti)).mappings().one_or_none()
    return TokenRow(**row) if row else None


def purge_expired(conn: Connection, before: int, *, batch: int = 1000) -> int:
    """Forget up to `batch` tokens that expired before this moment; how many.

    Call it again while it returns `batch`, each time in its own transaction: writers wait meanwhile.
    """
    expired = select(tokens.c.jti).where(tokens.c.expires_at < before).limit(batch)
    return conn.execute(delete(tokens).where(tokens.c.jti.in_(expired))).rowcount
