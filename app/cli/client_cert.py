"""``certbound client cert``: a client's own certificates, for overlap while it renews."""

from pathlib import Path
from typing import Annotated

import typer

from app.admin import certificates
from app.cli.client_pages import add_credential, credential_members
from app.cli.dates import moment, until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb

commands = group("A self-signed client's certificates: add the new one, then retire the old.")

ClientId = Annotated[str, typer.Argument(metavar="ID", help="client_id.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The certificate, PEM or DER.")]
ActivateAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Counts only from then on, such as 2026-11-22T13:50:00Z."),
]
Thumbprint = Annotated[
    str,
    typer.Argument(
        metavar="THUMBPRINT", help="x5t#S256, or SHA-256 in hex, or the certificate file."
    ),
]


@verb(commands, "add")
def add(session: Session, client_id: ClientId, file: File, activate_at: ActivateAt = None) -> Page:
    """Register one more certificate; those registered before keep counting."""
    at = None if activate_at is None else moment(activate_at, "--activate-at")
    with desk_of(session) as desk:
        new = certificates.add(desk, client_id, file, at)
    facts = new.facts
    page = Page({"client_id": client_id, "x5t#S256": new.digest, "activate_at": at})
    page.ok(
        "certificate added",
        new.digest,
        subject=facts.subject if facts else "",
        ends=until(facts.not_after) if facts else "",
        counts_from=until(at),
    )
    page.command(
        "later, retire the old one; see them",
        *session.certbound("client", "cert", "list", client_id),
    )
    return page


@verb(commands, "list")
def list_certificates(session: Session, client_id: ClientId) -> Page:
    """Show a client's registered certificates and keys, retired ones too."""
    with desk_of(session) as desk:
        rows = certificates.listed(desk, client_id)
    page = Page({"client_id": client_id, "credentials": [credential_members(row) for row in rows]})
    for row in rows:
        add_credential(page, row)
    if not rows:
        page.fact("none registered", "the client is recognised by name, or publishes its keys")
    return page


@verb(commands, "retire")
def retire(session: Session, client_id: ClientId, thumbprint: Thumbprint) -> Page:
    """Let a certificate count no more, for good; when this returns, no process accepts it."""
    with desk_of(session) as desk:
        retired = certificates.retire(desk, client_id, thumbprint)
    page = Page({"client_id": client_id, "retired": retired.digest, "active": retired.left})
    page.ok("certificate retired", retired.digest)
    if retired.left == 0:
        page.warn("none is left", f"{client_id} cannot authenticate until it has a new certificate")
    return page
