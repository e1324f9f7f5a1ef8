"""``certbound revoke token | client``: tokens that are refused from now on."""

from typing import Annotated

import typer

from app.admin import clients, token_revocation
from app.admin.life_cycle import life_cycle
from app.cli.client_options import ClientId
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.tail import add_tail
from app.store.tokens import Outstanding

Jti = Annotated[str, typer.Argument(metavar="JTI", help="The jti claim of the token.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit and for people.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; count what would stop.")]


def token(session: Session, jti: Jti, *, reason: Reason = "", dry_run: DryRun = False) -> Page:
    """Revoke one token, whoever's it is; when this returns, no process calls it active."""
    with desk_of(session) as desk:
        found = token_revocation.revoke(desk, jti, reason=reason, dry_run=dry_run)
        ttl = desk.settings.status_list_ttl
    row = found.row
    page = Page(
        {
            "jti": jti,
            "client_id": row.client_id,
            "resource": row.resource,
            "x5t#S256": row.thumbprint,
            "changed": found.changed,
            "expired": found.expired,
            "dry_run": dry_run,
            "revoked": not dry_run and not found.expired,
        }
    )
    label = "token would be revoked" if dry_run else "token revoked"
    if row.revoked_at is not None:
        label = "token was revoked already"
    elif found.expired:
        label = "token had expired"
    line = page.fact if dry_run or not found.changed else page.ok
    line(
        label,
        jti,
        client=row.client_id,
        resource=row.resource,
        bound_to=row.thumbprint,
        expires=until(row.expires_at),
        revoked=until(row.revoked_at),
    )
    gone = Outstanding(count=int(found.changed), until=row.expires_at if found.changed else None)
    add_tail(page, gone, ttl, would=dry_run)
    if dry_run and found.changed:
        page.command("do it", *session.certbound("revoke", "token", jti))
    return page


def client(
    session: Session, client_id: ClientId, *, reason: Reason = "", dry_run: DryRun = False
) -> Page:
    """Disable a client and revoke every token it has; its certificates stay good for others."""
    with desk_of(session) as desk:
        stopped = clients.disable(desk, client_id, reason=reason, dry_run=dry_run)
        certificates = [one.digest for one in life_cycle(desk, client_id).standings]
        ttl = desk.settings.status_list_ttl
    page = Page(
        {
            "client_id": client_id,
            "changed": stopped.changed,
            "x5t#S256": certificates,
            "dry_run": dry_run,
            "revoked": not dry_run,
        }
    )
    if not stopped.changed:
        page.fact("client was disabled already", client_id)
    elif dry_run:
        page.fact("client would be disabled", client_id)
    else:
        page.ok("client disabled", client_id)
    add_tail(page, stopped.tokens, ttl, would=dry_run)
    for digest in certificates:
        page.fact("certificate or key it has", digest, note="not revoked: it may be another's too")
    if dry_run:
        page.command("do it", *session.certbound("revoke", "client", client_id))
    else:
        page.command("after a mistake", *session.certbound("client", "enable", client_id))
    return page
