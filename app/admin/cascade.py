"""The tokens that go with what is stopped: a client's, or those bound to certificates.

Guarantees that they are refused from the same commit on as what they were issued to, and that one
audit entry says how many. To be called inside the transaction of the act itself; where that holds
the registry's lock, no token can be issued between the two.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.audit import CertificateEvidence, TokensRevoked
from app.pki import dn
from app.pki.crl import LoadedCrl
from app.pki.crl_entries import serial_key
from app.store import audit, tokens, uses
from app.store.engine import Transaction
from app.store.tokens import Outstanding

LONGEST = 86_400
"""Seconds that a token may live, whatever the settings say."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why tokens are revoked, for the audit."""

    event: str
    """The name of the act's own entry, such as ``client.disabled``."""
    note: str = ""
    """What the operator said."""


def revoke_tokens(
    conn: Transaction,
    actor: str,
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
                actor=actor,
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


def revoke_listed(
    conn: Transaction, actor: str, lists: Iterable[LoadedCrl], now: int, because: str
) -> Outstanding:
    """Refuse the tokens bound to certificates that one of these lists revokes, for that event.

    To be called where the lists come to count: what is issued later was judged by them. Whichever
    trust set vouched for a certificate: a token of an hour ago may rest on another than its last. A
    certificate is known here by the name of its CA and its number, so where two CAs of one name gave
    the same number, tokens of both go; who is in good standing gets another at once. Not seen: that
    a list revokes an intermediate CA, for which path a token was issued through is not kept.
    """
    found = {
        use.thumbprint
        for crl in lists
        for use in uses.by_issuer(conn, dn.shown(crl.issuer), since=now - LONGEST)
        if crl.revoked(serial_key(int(use.serial, 16)))
    }
    if not found:
        return Outstanding(count=0, until=None)
    return revoke_tokens(conn, actor, Cause(because), now, thumbprints=found)
