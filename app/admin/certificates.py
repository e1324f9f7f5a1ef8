"""A client's own certificates: adding a second one before the first ends, and retiring the old."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.admin import clients as admin_clients
from app.admin.desk import Desk
from app.admin.identity import Credential, certificate
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.audit import CertificateAdded, CertificateEvidence, CertificateRetired
from app.clients.methods import self_signed_tls_client_auth
from app.store import audit, clients, credentials, registry
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow


@dataclass(frozen=True, slots=True)
class Retired:
    """What was retired, and how many of the client's credentials still count."""

    digest: str
    left: int


def add(desk: Desk, client_id: str, path: Path, activate_at: int | None = None) -> Credential:
    """Register one more certificate; the others keep counting (RFC 8705 section 2.2).

    `activate_at` (seconds since the epoch) keeps it from counting before that moment.

    Raises:
        Problem: unknown client, one that is matched otherwise, or a certificate that is registered
            already (even retired) or could never authenticate.

    """
    with desk.db.read() as conn:
        _require_own(client_id, path, clients.find(conn, client_id))
    found = certificate(path, activate_at)
    now = clock.now()
    with registry.change(desk.db) as conn:
        # Asked again inside: the client may have gone meanwhile.
        _require_own(client_id, path, clients.find(conn, client_id))
        if not credentials.add(conn, found.row(client_id, now, activate_at)):
            raise Problem(
                f"{client_id} has this certificate already",
                seen=found.digest,
                expected="a certificate that was never registered for it; a retired one stays retired",
                action=f"certbound client cert list {client_id}",
            )
        audit.append_admin(
            conn,
            CertificateAdded(
                actor=desk.actor,
                client_id=client_id,
                certificate=_evidence(found),
                details={} if activate_at is None else {"activate_at": activate_at},
            ),
        )
    return found


def listed(desk: Desk, client_id: str) -> Sequence[CredentialRow]:
    """The client's certificates and keys, oldest first, retired ones too.

    Raises:
        Problem: there is no such client.

    """
    return admin_clients.shown(desk, client_id)[1]


def retire(desk: Desk, client_id: str, text: str) -> Retired:
    """The certificate (or key) that `text` names stops counting, on every node, for good.

    Raises:
        Problem: unknown client, no thumbprint, or no active credential of that thumbprint.

    """
    digest = thumbprint_of(text)
    now = clock.now()
    with registry.change(desk.db) as conn:
        if clients.find(conn, client_id) is None:
            raise admin_clients.unknown(client_id)
        if not credentials.retire(conn, client_id, digest, now):
            raise Problem(
                f"{client_id} has no active certificate or key of this thumbprint",
                seen=digest,
                expected="one that certbound client cert list shows as active",
                action=f"certbound client cert list {client_id}",
            )
        audit.append_admin(
            conn,
            CertificateRetired(
                actor=desk.actor,
                client_id=client_id,
                certificate=CertificateEvidence(thumbprint=digest),
            ),
        )
        left = [one for one in credentials.of_client(conn, client_id) if one.state == "active"]
    return Retired(digest, len(left))


def _require_own(client_id: str, path: Path, row: ClientRow | None) -> None:
    """Only a client whose very certificates are registered can have one more."""
    if row is None:
        raise admin_clients.unknown(client_id)
    if row.auth_method != self_signed_tls_client_auth.NAME:
        raise Problem(
            f"{client_id} needs no registration of its certificates",
            seen=f"{row.auth_method}, matched by {row.subject_attribute} {row.subject_text}",
            expected="a self_signed_tls_client_auth client",
            action="A new certificate from a trusted CA with the same name is accepted at once. Try it:",
            command=("certbound", "doctor", "cert", str(path), "--client", client_id),
        )
    if row.jwks_uri is not None:
        raise Problem(
            f"{client_id} publishes its own certificates and keys",
            seen=f"jwks_uri {row.jwks_uri}",
            expected="a client without jwks_uri (RFC 7591 section 2: one or the other)",
            action="Publish the new certificate there.",
        )


def _evidence(found: Credential) -> CertificateEvidence:
    facts = found.facts
    if facts is None:
        return CertificateEvidence(thumbprint=found.digest)
    return CertificateEvidence(
        thumbprint=facts.thumbprint,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        not_after=facts.not_after,
    )
