"""Revoking one registered certificate or key of one client, with the tokens bound to it.

Guarantees promise 3 for that client: when `revoke` returns, no process takes it, for good, and the
tokens that the client got with it are revoked. Retiring lets these run out instead: for rotation.
Not stopped: another client that registered the same, and the key in another certificate.
"""

from dataclasses import dataclass

from app import clock
from app.admin import clients as admin_clients
from app.admin.cascade import Cause, revoke_tokens
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.reasons import checked_reason
from app.admin.thumbprints import thumbprint_of
from app.audit import CertificateEvidence, CertificateRevoked
from app.store import audit, clients, credentials, registry, tokens, uses
from app.store.clients import ClientRow
from app.store.engine import Transaction
from app.store.tokens import Outstanding


@dataclass(frozen=True, slots=True)
class RevokedCredential:
    """A certificate or key that counts no more, as compromised."""

    digest: str
    changed: bool
    """False: it was revoked already."""
    left: int
    """How many of the client's certificates and keys still count."""
    tokens: Outstanding
    """The client's unexpired tokens bound to it, as they were: revoked with it."""


def revoke(
    desk: Desk, client_id: str, text: str, *, reason: str = "", dry_run: bool = False
) -> RevokedCredential:
    """The certificate (or key) that `text` names stops counting for this client; a retired one too.

    Raises:
        Problem: unknown client, no thumbprint, or nothing of that thumbprint is registered for it.

    """
    checked_reason(reason)
    digest = thumbprint_of(text)
    now = clock.now()
    with desk.db.read() if dry_run else registry.change(desk.db) as conn:
        client = clients.find(conn, client_id)
        if client is None:
            raise admin_clients.unknown(client_id)
        rows = credentials.of_client(conn, client_id)
        named = [one for one in rows if digest == (one.thumbprint or one.spki_sha256)]
        if not named:
            raise _nothing(client, digest)
        changed = any(one.state != "revoked" for one in named)
        left = [one for one in rows if one not in named and one.phase(now) in _COUNTING]
        bound = _certificates(conn, client_id, digest)
        if dry_run:
            out = tokens.outstanding(conn, now, client_id=client_id, thumbprints=bound)
            return RevokedCredential(digest, changed, len(left), out)
        if changed:
            credentials.revoke(conn, client_id, digest, now)
            event = CertificateRevoked(
                actor=desk.actor,
                client_id=client_id,
                certificate=CertificateEvidence(thumbprint=digest),
                details={"note": reason} if reason else {},
            )
            audit.append_admin(conn, event)
        cause = Cause(CertificateRevoked.name, reason)
        out = revoke_tokens(conn, desk.actor, cause, now, client_id=client_id, thumbprints=bound)
        return RevokedCredential(digest, changed, len(left), out)


_COUNTING = ("active", "retiring")


def _certificates(conn: Transaction, client_id: str, digest: str) -> set[str]:
    """The certificate itself; of a key, those that the client was seen with it in."""
    seen = uses.of_client(conn, client_id)
    return {digest} | {use.thumbprint for use in seen if use.spki_sha256 == digest}


def _nothing(client: ClientRow, digest: str) -> Problem:
    return Problem(
        f"{client.client_id} has no certificate or key of this thumbprint registered",
        seen=digest,
        expected="one that certbound client cert list shows as registered",
        action=f"To stop a certificate for everybody: certbound revoke cert {digest} --dry-run",
    )
