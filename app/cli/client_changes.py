"""``certbound client trust | label | sight | match | rehearse``: changing a client, or trying a change."""

from pathlib import Path
from typing import Annotated

import typer

from app import telemetry
from app.admin import client_changes
from app.admin.clients import Sight, name_text
from app.admin.rehearsal import rehearse as rehearse_change
from app.admin.sight import set_sight, sight_text
from app.cli.client_options import (
    ClientId,
    IntrospectAll,
    LabelOptions,
    NameOptions,
    NewCertificate,
    Own,
    Serves,
    TrustNames,
)
from app.cli.client_pages import client_members, labels_of
from app.cli.desk import desk_of
from app.cli.findings import add_weakest
from app.cli.page import Page
from app.cli.rehearsal_page import rehearsal_page
from app.cli.session import Session
from app.cli.trust_pages import add_affected, affected_members

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Change nothing; say whether the client would be stopped, by the certificates it was "
        "seen with. The exit code is 0 all the same.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", help="Take the narrowest name of this certificate."),
]


def trust(
    session: Session, client_id: ClientId, names: TrustNames, *, dry_run: DryRun = False
) -> Page:
    """Replace the trust sets that may vouch for a client; it counts from the next request on."""
    with desk_of(session) as desk:
        found = client_changes.set_trust(desk, client_id, names, dry_run=dry_run)
    row, affected = found.row, found.affected
    page = Page(
        {
            "client": client_members(row),
            "dry_run": dry_run,
            "outlook": affected_members(affected),
            "weakest_trust_set": found.weakest.name if found.weakest else None,
        }
    )
    line = page.fact if dry_run else page.ok
    label = "would be vouched for by" if dry_run else "vouched for by"
    line("client", client_id, **{label: f"trust set {', '.join(row.trust_sets)}"})
    if dry_run or affected.outlook in ("stops", "in part"):
        add_affected(page, affected, dry_run=dry_run)
    add_weakest(page, session, found.weakest)
    if dry_run:
        page.command("do it", *session.certbound("client", "trust", client_id, *names))
    return page


def label(
    session: Session,
    client_id: ClientId,
    *,
    labelled: LabelOptions,
) -> Page:
    """Label a client; labels not given stay, an empty one is taken away."""
    labels = labelled.labels()
    if not labels.given():
        raise typer.BadParameter("give at least one", param_hint="--tenant --risk --resource-class")
    with desk_of(session) as desk:
        row = client_changes.label(desk, client_id, labels)
    page = Page({"client": client_members(row)})
    texts = {name: text or "none" for name, text in labels_of(row).items()}
    page.ok("client", client_id, **texts)
    return page


def sight(
    session: Session,
    client_id: ClientId,
    *,
    serves: Serves = None,
    introspect_all: IntrospectAll = False,
    own: Own = False,
) -> Page:
    """Say which tokens a client may look at; it counts from the next request on."""
    if (serves is not None) + introspect_all + own != 1:
        raise typer.BadParameter(
            "give exactly one", param_hint="--serves URL..., --introspect-all or --own"
        )
    with desk_of(session) as desk:
        row = set_sight(desk, client_id, Sight(serves or (), introspect_all))
    page = Page({"client": client_members(row)})
    page.ok("client", client_id, may_look_at=sight_text(row))
    return page


def match(
    session: Session,
    client_id: ClientId,
    *,
    cert: Certificate = None,
    named: NameOptions,
) -> Page:
    """Recognise a client by another name from the next request on; all else stays as it is."""
    who = named.identity(client_id, [] if cert is None else [cert])
    with desk_of(session) as desk:
        row = client_changes.rename(desk, client_id, who)
    page = Page({"client": client_members(row)})
    page.ok("client", client_id, recognised_by=name_text(row))
    if cert is not None:
        page.command(
            "see that it works",
            *session.certbound("doctor", "cert", str(cert), "--client", client_id),
        )
    return page


def rehearse(session: Session, client_id: ClientId, new: NewCertificate) -> Page:
    """Try a new certificate for a client and change nothing: would it do, and what to do in order."""
    telemetry.configure("console", "error")  # a failed fetch is told below, not logged
    with desk_of(session) as desk:
        found = rehearse_change(desk, client_id, new)
    return rehearsal_page(session, new, found)
