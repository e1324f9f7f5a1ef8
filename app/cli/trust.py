"""``certbound trust``: which CA certificates may vouch for clients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app import clock
from app.admin import trust
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.store.trust import TrustAnchorRow, TrustSetRow

commands = group("Trust sets: CA certificates, pinned by hash, that may vouch for clients.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The set's name, as clients refer to it.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="CA certificates, PEM or DER.")]
Intermediate = Annotated[
    bool,
    typer.Option(
        "--intermediate", help="Path material only: the certificates are not trusted by themselves."
    ),
]


@verb(commands, "add")
def add(session: Session, name: Name, file: File, *, intermediate: Intermediate = False) -> Page:
    """Pin CA certificates into a set; a new name makes a new set."""
    with desk_of(session) as desk:
        added = trust.add(desk, name, file, intermediates_only=intermediate)
    page = Page({"trust_set": name, "added": [_anchor_members(row) for row in added]})
    for row in added:
        _add_anchor(page, row)
    if added:
        page.ok("trust set", name)
    else:
        page.ok("trust set", f"{name} holds these certificates already")
    return page


@verb(commands, "list")
def list_sets(session: Session) -> Page:
    """Show every trust set and its certificates."""
    with desk_of(session) as desk:
        rows = trust.listed(desk)
    page = Page({"trust_sets": [_members(row) for row in rows]})
    for row in rows:
        page.fact("trust set", row.name)
        for anchor in row.anchors:
            _add_anchor(page, anchor)
    if not rows:
        page.warn("no trust sets", "no client can authenticate by tls_client_auth")
        page.command("make one", *session.certbound("trust", "add", "default", "CA_FILE"))
    return page


@verb(commands, "remove")
def remove(session: Session, name: Name) -> Page:
    """Remove a set: no CA in it vouches for anybody any more."""
    with desk_of(session) as desk:
        left = trust.remove(desk, name)
    page = Page({"removed": name, "clients_naming_it": left})
    page.ok("trust set removed", name)
    if left:
        page.warn("clients that still name it", ", ".join(left))
    return page


def _add_anchor(page: Page, row: TrustAnchorRow) -> None:
    details = {"thumbprint": row.thumbprint, "ends": until(row.not_after)}
    label = "anchor" if row.role == "anchor" else "intermediate"
    if row.not_after <= clock.now():
        page.bad(f"{label} (expired)", row.subject, **details)
    else:
        page.ok(label, row.subject, **details)


def _anchor_members(row: TrustAnchorRow) -> dict[str, Any]:
    return {
        "x5t#S256": row.thumbprint,
        "role": row.role,
        "subject": row.subject,
        "not_after": row.not_after,
        "added_at": row.added_at,
    }


def _members(row: TrustSetRow) -> dict[str, Any]:
    return {"name": row.name, "certificates": [_anchor_members(one) for one in row.anchors]}
