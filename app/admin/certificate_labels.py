"""What is noted of one registered certificate or key: where its key is kept, whose it is.

Guarantees that a label which contradicts the client's, or takes a shared key across a boundary, is
refused as it would be at registration. Custody and owner are words; nothing is decided by them.
"""

from typing import Any

from app.admin import boundary
from app.admin.client_checks import Labels
from app.admin.clients import unknown
from app.admin.credential import Keeping
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.audit import CertificateChanged, CertificateEvidence
from app.store import audit, clients, credentials, registry
from app.store.credentials import CredentialRow


def label(
    desk: Desk, client_id: str, text: str, keeping: Keeping, labels: Labels
) -> tuple[CredentialRow, str | None]:
    """Note what is given of the certificate (or key) that `text` names; the rest stays.

    The labels count from the next request on. With the row comes what is only to be reported.

    Raises:
        Problem: unknown client, none of its certificates and keys, a malformed label, or a tenant
            that is across a boundary.

    """
    digest = thumbprint_of(text)
    given: dict[str, Any] = {**keeping.given(), **labels.given()}
    with registry.change(desk.db) as conn:
        client = clients.find(conn, client_id)
        if client is None:
            raise unknown(client_id)
        if not credentials.label(conn, client_id, digest, **given):
            raise Problem(
                f"{client_id} has no registered certificate or key of this thumbprint",
                seen=digest,
                expected="one that is registered; of those that were only seen nothing is noted",
                action=f"certbound client cert list {client_id}",
            )
        row = next(
            one
            for one in credentials.of_client(conn, client_id)
            if digest in (one.thumbprint, one.spki_sha256 if one.kind == "key" else None)
        )
        crosses = None
        if labels.given() and row.state == "active":  # others open nothing
            policy = desk.settings.boundary_policy
            crosses = boundary.judge_credential(client, row, policy)
            boundary.judge(conn, client, row.spki_sha256, policy, later_too=True)
        audit.append_admin(
            conn,
            CertificateChanged(
                actor=desk.actor,
                client_id=client_id,
                certificate=CertificateEvidence(thumbprint=digest, subject=row.subject),
                details=given,
            ),
        )
    return row, crosses
