"""``certbound revoke``: stopping a token, a client, or a certificate for everybody, at once."""

from typing import Annotated, Any

import typer

from app.admin import denial, denial_list
from app.admin.denial import Stopped
from app.cli import revoke_token
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.tail import add_tail
from app.cli.verb import group, verb
from app.store.denied import DeniedRow, Kind

commands = group(
    "Revoking: a token, a client with its tokens, or a certificate, key or CA for all clients."
)

Thumbprint = Annotated[
    str,
    typer.Argument(
        metavar="THUMBPRINT|FILE",
        help="x5t#S256, or SHA-256 in hex, or the certificate file; with --key a key's hash too.",
    ),
]
Named = Annotated[
    str,
    typer.Argument(metavar="THUMBPRINT|FILE", help="The same, or a value as revoke list shows it."),
]
Key = Annotated[
    bool, typer.Option("--key", help="Stop its key: every certificate with it, future ones too.")
]
IssuerSerial = Annotated[
    bool, typer.Option("--issuer-serial", help="Stop what its issuer gave its serial number.")
]
UndoKey = Annotated[
    bool, typer.Option("--key", help="Take back the entry for its key, and no other.")
]
UndoIssuerSerial = Annotated[
    bool,
    typer.Option(
        "--issuer-serial", help="Take back the entry for its serial number, and no other."
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit and for people.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; count what would stop.")]

_WORDS: dict[Kind, str] = {
    "thumbprint": "certificate",
    "spki": "key",
    "issuer_serial": "issuer and serial",
}


@verb(commands, "cert", takes_thumbprint=True)
def cert(
    session: Session,
    thumbprint: Thumbprint,
    *,
    key: Key = False,
    issuer_serial: IssuerSerial = False,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> Page:
    """Stop a certificate, all below it, and its tokens, for all clients, before this returns."""
    kind = _kind(key=key, issuer_serial=issuer_serial) or "thumbprint"
    with desk_of(session) as desk:
        stopped = denial.deny(desk, thumbprint, kind, reason=reason, dry_run=dry_run)
        ttl = desk.settings.status_list_ttl
    page = Page({**_members(stopped), "dry_run": dry_run, "revoked": not dry_run})
    _stopped(page, stopped, dry_run=dry_run)
    add_tail(page, stopped.outstanding, ttl, would=dry_run)
    if dry_run and not stopped.changed:
        page.ok("nothing to do", "this is on the list already")
    elif dry_run:
        words = ["revoke", "cert", thumbprint]
        words += ["--key"] if key else ["--issuer-serial"] if issuer_serial else []
        page.command("do it", *session.certbound(*words))
    else:
        page.command("after a mistake", *session.certbound("revoke", "undo", stopped.value))
    return page


verb(commands, "token", takes_thumbprint=True)(revoke_token.token)
verb(commands, "client")(revoke_token.client)


@verb(commands, "list")
def list_denied(session: Session) -> Page:
    """Show every certificate and key that was revoked here, by whom, when and why; tokens not."""
    with desk_of(session) as desk:
        rows, acts = denial.listed(desk), denial_list.acts(desk)
    page = Page({"revoked": [_row_members(row) for row in rows]})
    for act in acts:
        page.bad(
            _WORDS[act.row.kind],
            act.row.value,
            subject="; ".join(act.subjects),
            clients=", ".join(act.clients),
            since=until(act.row.created_at),
            by=act.row.actor,
            reason=act.row.reason,
        )
    if not rows:
        page.fact("nothing is revoked here")
    return page


@verb(commands, "undo", takes_thumbprint=True)
def undo(
    session: Session,
    thumbprint: Named,
    *,
    key: UndoKey = False,
    issuer_serial: UndoIssuerSerial = False,
) -> Page:
    """Take back a revocation made by mistake; what it stopped may authenticate again.

    Where both a certificate and its key were revoked, the key stays revoked without --key.
    """
    kind = _kind(key=key, issuer_serial=issuer_serial)
    with desk_of(session) as desk:
        undone = denial.undo(desk, thumbprint, kind)
    page = Page(
        {
            "undone": [_row_members(row) for row in undone.rows],
            "still_revoked": [_row_members(row) for row in undone.still],
        }
    )
    for row in undone.rows:
        page.ok(
            f"{_WORDS[row.kind]} {'is no longer revoked' if undone.still else 'may be used again'}",
            row.value,
        )
    for row in undone.still:
        key_too = row.kind == "spki"
        what = "its key" if key_too else "its twin, the same under another signature,"
        page.warn(f"{what} is still revoked", row.value, reason=row.reason)
        words = (thumbprint, "--key") if key_too else (row.value,)
        page.command("to take that back too", *session.certbound("revoke", "undo", *words))
    return page


def _kind(*, key: bool, issuer_serial: bool) -> Kind | None:
    if key and issuer_serial:
        raise typer.BadParameter("give one of them", param_hint="--key --issuer-serial")
    if key:
        return "spki"
    return "issuer_serial" if issuer_serial else None


def _stopped(page: Page, stopped: Stopped, *, dry_run: bool) -> None:
    what, target = _WORDS[stopped.kind], stopped.target
    label = f"{what} revoked" if stopped.changed else f"{what} was revoked already"
    if dry_run and stopped.changed:
        label = f"{what} would be revoked"
    line = page.fact if dry_run else page.ok
    line(
        label,
        stopped.value,
        subject=target.subject or "",
        issuer=target.issuer or "",
        last_used=until(stopped.last_used) or "never seen here",
    )
    _reach(page, stopped)
    outcome = "would be stopped" if dry_run and stopped.changed else "stopped"
    for client_id in stopped.clients:
        page.bad(client_id, outcome if stopped.changed else "stopped already")
    if not stopped.clients and not target.is_ca:
        page.warn("no client", "is known to have used or registered it")


def _reach(page: Page, stopped: Stopped) -> None:
    """What the entry does not stop, or stops beyond what is counted."""
    if stopped.target.is_ca:
        page.warn("a CA", "every certificate below it is stopped too; these are not counted here")
        page.warn(
            "its tokens",
            "those of certificates that it issued itself are revoked with it; those of certificates "
            "that a CA below it issued are not: certbound revoke cert with that CA's file",
        )
    if stopped.kind != "thumbprint":
        return
    if not stopped.content:
        page.warn(
            "only these very bytes",
            "the same certificate with its signature written otherwise is not stopped",
            better="give the certificate's file, or stop its key with --key",
        )
    if stopped.target.self_issued:
        page.warn(
            "self-signed",
            "whoever has its key makes others like it; where a client registered the key, "
            "stop that with --key",
        )


def _members(stopped: Stopped) -> dict[str, Any]:
    return {
        "kind": stopped.kind,
        "value": stopped.value,
        "content": stopped.content,
        "changed": stopped.changed,
        "clients": list(stopped.clients),
        "x5t#S256": list(stopped.thumbprints),
        "last_used": stopped.last_used,
    }


def _row_members(row: DeniedRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "value": row.value,
        "reason": row.reason,
        "actor": row.actor,
        "created_at": row.created_at,
    }
