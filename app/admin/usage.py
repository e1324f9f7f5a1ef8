"""Which certificates a client has used lately, as the audit trail tells."""

import json
from dataclasses import dataclass

from app.admin.desk import Desk
from app.store import audit

LOOK_BACK = 200
"""Tokens looked at."""


@dataclass(frozen=True, slots=True)
class Use:
    """When a client last got a token with a certificate."""

    thumbprint: str
    subject: str
    at: int
    not_after: int | None


def last_used(desk: Desk, client_id: str) -> list[Use]:
    """The certificates of the client's latest tokens, newest first; found in the audit trail."""
    with desk.db.read() as conn:
        rows = audit.search(conn, client_id=client_id, decision="issued", count=LOOK_BACK)
    found: dict[str, Use] = {}
    for row in reversed(rows):
        evidence = json.loads(row.body).get("certificate") or {}
        if row.thumbprint is not None:
            use = Use(
                row.thumbprint,
                str(evidence.get("subject", "")),
                row.at_ms // 1000,
                evidence.get("not_after"),
            )
            found.setdefault(row.thumbprint, use)
    return list(found.values())
