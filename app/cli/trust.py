"""``certbound trust``: which CA certificates may vouch for clients, for whom, and on what terms."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app import clock
from app.admin import trust
from app.admin.trust_removal import Removal
from app.cli import trust_pages, trust_terms
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.clients.crl_due import lists_of

commands = group("Trust sets: CA certificates, pinned by hash, that may vouch for clients.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The set's name, as clients refer to it.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="CA certificates, PEM or DER.")]
Intermediate = Annotated[
    bool,
    typer.Option(
        "--intermediate",
        help="Only to complete paths: the certificates are not trusted by themselves.",
    ),
]
Description = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What the set is for, for people.")
]
Permit = Annotated[
    list[str] | None,
    typer.Option(
        "--permit",
        metavar="PATTERN",
        help="Names a new set may vouch for; see trust permit. Repeatable. Default: any.",
    ),
]
Thumbprint = Annotated[
    str | None,
    typer.Argument(
        metavar="THUMBPRINT",
        help="One certificate of the set, or its file; without it, the whole set.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Change nothing; say which clients would be stopped. The exit code is 0 all the same.",
    ),
]


@verb(commands, "add")
def add(
    session: Session,
    name: Name,
    file: File,
    *,
    intermediate: Intermediate = False,
    description: Description = None,
    permit: Permit = None,
) -> Page:
    """Pin CA certificates into a set; a new name makes a new set.

    In a set that exists they join those that are there: both count, until one is removed.
    """
    with desk_of(session) as desk:
        added = trust.add(
            desk,
            name,
            file,
            intermediates_only=intermediate,
            description=description,
            patterns=permit or (),
        )
        row = next(one for one in trust.listed(desk) if one.name == name)
        lists = lists_of(row, trust.crls(desk), clock.now())
        denied = trust.denied(desk, row.anchors)
    page = Page(
        {
            "trust_set": name,
            "added": [trust_pages.anchor_members(one) for one in added],
            "denied": sorted(denied),
        }
    )
    for one in added:
        trust_pages.add_anchor(page, one)
    for thumbprint, how in denied.items():
        page.warn("on the deny-list", f"{thumbprint}: nobody below it gets in", denied_by=how)
        page.command("after a mistake", *session.certbound("revoke", "undo", thumbprint))
    if added:
        page.ok("trust set", name, may_vouch_for=trust_pages.bounds_text(row))
    else:
        page.ok("trust set", f"{name} holds these certificates already")
    new = {one.subject for one in added}
    missing = tuple(subject for subject in lists.without if subject in new)
    trust_pages.warn_of_lists(page, session, row, replace(lists, standings=(), without=missing))
    return page


@verb(commands, "list")
def list_sets(session: Session) -> Page:
    """Show every trust set: certificates, bounds, revocation policy, CRLs and bundle."""
    with desk_of(session) as desk:
        rows, crls = trust.listed(desk), trust.crls(desk)
    if not rows:
        page = Page({"trust_sets": []})
        page.warn("no trust sets", "no client can authenticate by tls_client_auth")
        page.command("make one", *session.certbound("trust", "add", "default", "CA_FILE"))
        return page
    return trust_pages.overview(session, rows, crls)


@verb(commands, "remove", takes_thumbprint=True)
def remove(
    session: Session, name: Name, thumbprint: Thumbprint = None, *, dry_run: DryRun = False
) -> Page:
    """Remove one certificate of a set, or the whole set: it vouches for nobody any more."""
    with desk_of(session) as desk:
        removal = trust.remove(desk, name, thumbprint, dry_run=dry_run)
    return _removal(session, removal, thumbprint, dry_run=dry_run)


verb(commands, "permit")(trust_terms.permit)
verb(commands, "revocation")(trust_terms.revocation)
verb(commands, "crl")(trust_terms.crl)
verb(commands, "bundle")(trust_terms.bundle)


def _removal(session: Session, removal: Removal, thumbprint: str | None, *, dry_run: bool) -> Page:
    stops = [one for one in removal.affected if one.outlook == "stops"]
    page = Page(
        {
            "removed": removal.name,
            "certificates": [trust_pages.anchor_members(one) for one in removal.members],
            "whole_set": removal.whole,
            "dry_run": dry_run,
            "clients": [trust_pages.affected_members(one) for one in removal.affected],
            "clients_naming_it": list(removal.naming),
        }
    )
    what = f"trust set {'would be ' if dry_run else ''}removed"
    if not removal.whole:
        what = f"certificate {'would leave' if dry_run else 'left'} the trust set"
    line = page.fact if dry_run else page.ok
    line(what, removal.name if removal.whole else removal.members[0].subject)
    for one in removal.affected:
        trust_pages.add_affected(page, one, dry_run=dry_run)
    if not removal.affected:
        page.fact("no enabled client names it")
    elif not dry_run and stops and removal.whole:
        page.warn("clients that still name it", ", ".join(removal.naming))
    if dry_run:
        arguments = ["trust", "remove", removal.name, *([thumbprint] if thumbprint else [])]
        page.command("do it", *session.certbound(*arguments))
    return page
