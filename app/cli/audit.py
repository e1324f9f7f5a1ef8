"""``certbound audit``: what was decided and done."""

import time
from typing import Annotated, Any

import typer

from app.admin import sprawl as admin_sprawl
from app.admin.audit_trail import Follower, tail
from app.admin.sprawl import Held
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.entries import add_entry, members
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.verb import group, verb

commands = group("The audit trail: every token, refusal and operator's act.")
INTERVAL = 1.0
"""Seconds between looks with --follow."""

Count = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=0, max=10_000, help="How many entries.")
]
Resources = Annotated[
    int,
    typer.Option(
        "--resources",
        metavar="N",
        min=0,
        help="Resources that one certificate may serve before it is named.",
    ),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as entries appear.")]


@verb(commands, "tail")
def tail_entries(session: Session, *, count: Count = 10, follow: Follow = False) -> Page:
    """Show the last entries, oldest first. With --follow and --json: one object per line."""
    with desk_of(session) as desk:
        rows = tail(desk, count)
        page = Page({"entries": [members(row) for row in rows]})
        for row in rows:
            add_entry(page, row)
        if not follow:
            if not rows:
                page.fact("no entries")
            return page
        follower = Follower(desk, rows)
        while True:
            if session.as_json:
                for row in rows:
                    session.emit_object(members(row))
            else:
                session.emit(page)
            time.sleep(INTERVAL)
            rows = list(follower.look())
            page = Page()
            for row in rows:
                add_entry(page, row)


@verb(commands, "sprawl")
def sprawl(session: Session, *, resources: Resources = admin_sprawl.RESOURCES) -> Page:
    """Name shared certificates, shared keys and certificates of many resources; exit code 1 if any.

    Only what opens something still: retired, revoked and ended certificates are left out.
    """
    with desk_of(session) as desk:
        found = admin_sprawl.find(desk, resources)
    page = Page(
        {
            "shared_certificates": [
                {"x5t#S256": one.digest, **_members(one)} for one in found.certificates
            ],
            "shared_keys": [{"spki_sha256": one.digest, **_members(one)} for one in found.keys],
            "wide": [
                {
                    "client_id": one.client_id,
                    "x5t#S256": one.thumbprint,
                    "resources": list(one.resources),
                }
                for one in found.wide
            ],
        }
    )
    for what, shared in (("certificate", found.certificates), ("key", found.other_keys)):
        for one in shared:
            tenants = found.tenants_of(one)
            across = f"across tenants {', '.join(name or '(none)' for name in tenants)}"
            page.bad(
                f"shared {what}",
                one.digest,
                subject="; ".join(one.subjects),
                clients=", ".join(one.clients),
                boundary=across if len(tenants) > 1 else "",
                last_used=until(one.last_used) or "never",
            )
            flags = ["--key"] if what == "key" else []
            page.command(
                "when each client has a key of its own, stop this one for all",
                *session.certbound("revoke", "cert", one.digest, *flags, "--dry-run"),
            )
    for wide in found.wide:
        page.bad(
            f"{len(wide.resources)} resources by one certificate",
            wide.thumbprint,
            client=wide.client_id,
            resources=", ".join(wide.resources),
        )
    if found.is_none:
        page.ok("nothing is shared", f"and no certificate serves more than {resources} resources")
    else:
        page.code = REFUSED
    return page


def _members(one: Held) -> dict[str, Any]:
    return {
        "clients": list(one.clients),
        "subjects": list(one.subjects),
        "last_used": one.last_used,
    }
