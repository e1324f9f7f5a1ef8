"""A registry and decisions of the smallest kind, for tests of the journal and the registry.

Run as a program it is an issuer: ``python -m tests.store.decisions URL TASKS`` issues tokens for
the client ``bot`` until it is killed, never refreshes its snapshot by itself, and writes one line
per acknowledged decision: the token's jti, or ``refused``.
"""

import asyncio
import os
import secrets
import sys
from dataclasses import dataclass

from app.audit import CertificateEvidence, Event, RequestRefused, TokenIssued
from app.clock import now
from app.store.engine import Database
from app.store.journal import Journal
from app.store.registry import RegistryRows, Snapshots
from app.store.status_lists import StatusListRow
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse

THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


@dataclass(frozen=True, slots=True)
class View:
    """What `issue` has to know of a registry."""

    version: int
    enabled: frozenset[str]
    denied: frozenset[str] = frozenset()


def view(rows: RegistryRows) -> View:
    """Build the view."""
    enabled = frozenset(c.client_id for c in rows.clients if c.disabled_at is None)
    return View(rows.version, enabled, rows.denied.thumbprints)


@dataclass(frozen=True, slots=True)
class Made:
    """A decision."""

    event: Event
    token: TokenRow | None
    version: int = 0
    use: CertificateUse | None = None
    status_list: StatusListRow | None = None
    revokes: str | None = None


def issue(view: View, *, client_id: str = "bot", scope: str = "read") -> Made:
    """A token for an enabled client whose certificate is not denied, a refusal for any other."""
    if client_id not in view.enabled or THUMBPRINT in view.denied:
        refusal = RequestRefused(
            decision="refused", client_id=client_id, endpoint="token", error="e", status=401
        )
        return Made(refusal, None, view.version)
    row = token(client_id=client_id, scope=scope)
    event = TokenIssued(
        decision="issued",
        client_id=client_id,
        certificate=CertificateEvidence(thumbprint=row.thumbprint, subject="CN=bot,O=Example"),
        jti=row.jti,
        resource=row.resource,
        grant_type="client_credentials",
        method="tls_client_auth",
        mechanisms=("client_authentication", "token_binding"),
        confirmation="x5t#S256",
        token_type="at+jwt",  # noqa: S106 -- a media type, not a secret
        subject=row.subject,
        scope=row.scope,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        kid=row.kid,
    )
    return Made(event, row, view.version, use(client_id=client_id, resource=row.resource))


def use(
    *,
    client_id: str = "bot",
    thumbprint: str = THUMBPRINT,
    at: int | None = None,
    resource: str | None = None,
    trust_set: str | None = "default",
    issuer: str = "CN=CA,O=Example",
    spki_sha256: str = "spki-1",
    not_after: int = 4_000_000_000,
) -> CertificateUse:
    """A client's use of a certificate, as of now."""
    return CertificateUse(
        client_id=client_id,
        thumbprint=thumbprint,
        subject="CN=bot,O=Example",
        issuer=issuer,
        serial="2a",
        spki_sha256=spki_sha256,
        not_before=1,
        not_after=not_after,
        trust_set=trust_set,
        at=now() if at is None else at,
        resource=resource,
    )


def token(
    *, client_id: str = "bot", scope: str = "read", expires_at: int | None = None
) -> TokenRow:
    """A token's record as it would be issued now."""
    return TokenRow(
        jti=secrets.token_urlsafe(16),
        client_id=client_id,
        subject=client_id,
        resource="https://localhost:9444",
        scope=scope,
        thumbprint=THUMBPRINT,
        kid="key-1",
        issued_at=now(),
        expires_at=expires_at or now() + 300,
    )


async def _issue_for_ever(journal: Journal[View, Made]) -> None:
    while True:
        made = await journal.settle(issue)
        line = made.token.jti if made.token else "refused"
        os.write(1, f"{line}\n".encode())  # one system call: whole, and gone before a kill
        await asyncio.sleep(0)


async def _main(url: str, tasks: int) -> None:
    db = Database(url)
    journal: Journal[View, Made] = Journal(db, Snapshots(db, view))
    journal.start()
    await asyncio.gather(*(_issue_for_ever(journal) for _ in range(tasks)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
