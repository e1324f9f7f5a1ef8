"""The tokens that go with what is stopped: a client's, or those bound to certificates.

Guarantees that they are refused from the same commit on as what they were issued to, and that one
audit entry says how many. To be called inside the transaction of the act itself; where that holds
the registry's lock, no token can be issued between the two.
"""

from collections.abc import Collection
from dataclasses import dataclass

from app.admin.desk import Desk
from app.audit import CertificateEvidence, TokensRevoked
from app.store import audit, tokens
from app.store.engine import Transaction
from app.store.tokens import Outstanding

NONE = Outstanding(count=0, until=None)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why tokens are revoked, for the audit."""

    event: str
    """The name of the act's own entry, such as ``client.disabled``."""
    note: str = ""
    """What the operator said."""


def revoke_tokens(
    conn: Transaction,
    desk: Desk,
    cause: Cause,
    now: int,
    *,
    client_id: str | None = None,
    thumbprints: Collection[str] | None = None,
) -> Outstanding:
    """Refuse the unexpired tokens of this client, bound to one of these certificates, or both.

    What they were, so that it can be told how long others may still accept them.
    """
    revoked = tokens.revoke_outstanding(conn, now, client_id=client_id, thumbprints=thumbprints)
    if revoked.count:
        named = None if thumbprints is None or len(thumbprints) != 1 else next(iter(thumbprints))
        audit.append_admin(
            conn,
            TokensRevoked(
                actor=desk.actor,
                client_id=client_id,
                certificate=CertificateEvidence(thumbprint=named) if named else None,
                details={
                    "because": cause.event,
                    "tokens": revoked.count,
                    "tokens_until": revoked.until,
                    **({"note": cause.note} if cause.note else {}),
                },
            ),
        )
    return revoked
