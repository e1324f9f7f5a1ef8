"""Revoking one token by its jti, whoever's it is."""

from dataclasses import dataclass

from app import clock
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.reasons import checked_reason
from app.audit import CertificateEvidence, TokensRevoked
from app.jose.jwt import MOST_LEEWAY
from app.store import audit, tokens
from app.store.tokens import TokenRow

MAX_JTI = 255
"""Characters; ours have 28."""


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token, and what became of it."""

    row: TokenRow
    """As it was before."""
    expired: bool
    """It had run out anyway, by the clock of every resource: `MOST_LEEWAY` ago or longer."""

    @property
    def changed(self) -> bool:
        """Whether it was accepted until now."""
        return self.row.revoked_at is None and not self.expired


def revoke(desk: Desk, jti: str, *, reason: str = "", dry_run: bool = False) -> RevokedToken:
    """Refuse this token from now on, in every process.

    Raises:
        Problem: no such token was issued here, or it expired so long ago that its record is gone.

    """
    checked_reason(reason)
    now = clock.now()
    with desk.db.read() if dry_run else desk.db.begin() as conn:
        row = tokens.find(conn, jti) if len(jti) <= MAX_JTI else None
        if row is None:
            require_no_token(jti)
            raise _unknown(jti)
        found = RevokedToken(row, expired=row.expires_at <= now - MOST_LEEWAY)
        if found.changed and not dry_run and tokens.revoke(conn, [jti], now):
            audit.append_admin(
                conn,
                TokensRevoked(
                    actor=desk.actor,
                    client_id=row.client_id,
                    certificate=CertificateEvidence(thumbprint=row.thumbprint),
                    jti=jti,
                    resource=row.resource,
                    details={
                        "because": "token",
                        "tokens": 1,
                        "tokens_until": row.expires_at,
                        **({"note": reason} if reason else {}),
                    },
                ),
            )
    return found


def require_no_token(text: str) -> None:
    """Who gives a token where its jti is meant is told so; the token is not repeated.

    Raises:
        Problem: it has the form of a JWT.

    """
    if text.count(".") == 2 and text.startswith("eyJ"):  # noqa: PLR2004 - header, payload, signature
        raise Problem(
            "this is a token, not its jti",
            seen=f"{len(text)} characters with two dots",
            expected="the jti alone; the token itself is nobody's business, not even a shell's",
            action="certbound token inspect - reads it from standard input and shows its jti.",
        )


def _unknown(jti: str) -> Problem:
    return Problem(
        "no token of this jti is recorded here",
        seen=jti[:100],
        expected="the jti of a token that this server issued and that has not run out",
        action="certbound audit tail",
    )
