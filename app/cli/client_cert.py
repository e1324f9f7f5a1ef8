"""``certbound client cert``: a client's certificates, for overlap while it renews."""

from pathlib import Path
from typing import Annotated

import typer

from app import clock
from app.admin import certificate_labels, certificate_revocation, certificates, expiry
from app.admin.certificates import Terms
from app.admin.life_cycle import life_cycle
from app.admin.revoked_known import revoking_sets
from app.cli.certificate_pages import (
    add_overlap,
    add_revoked,
    add_standing,
    credential_members,
    notes_of,
    standing_members,
)
from app.cli.client_options import KeepingOptions, LabelOptions
from app.cli.dates import duration, moment, span, until
from app.cli.desk import desk_of
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.tail import add_tail
from app.cli.verb import group, verb

commands = group("Clients' certificates: add the new one, see who uses which, retire the old.")

JUST_NOW = 86_400
"""Seconds: a certificate used since then is probably still in use somewhere."""

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit and for people.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; count what would stop.")]
ClientId = Annotated[str, typer.Argument(metavar="ID", help="client_id.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The certificate, PEM or DER.")]
ActivateAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Counts only from then on, such as 2026-11-22T13:50:00Z."),
]
RetireAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stops counting then, by itself.")
]
At = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not at once: by itself at that time.")
]
Postpone = Annotated[
    bool,
    typer.Option("--postpone", help="The time given is later than the one announced, on purpose."),
]
Within = Annotated[
    str, typer.Option(metavar="DURATION", help="How far to look ahead, such as 7d or 12h.")
]
Thumbprint = Annotated[
    str,
    typer.Argument(
        metavar="THUMBPRINT", help="x5t#S256, or SHA-256 in hex, or the certificate file."
    ),
]


@verb(commands, "add")
def add(
    session: Session,
    client_id: ClientId,
    file: File,
    *,
    activate_at: ActivateAt = None,
    retire_at: RetireAt = None,
    kept: KeepingOptions,
    labelled: LabelOptions,
) -> Page:
    """Register one more certificate; those registered before keep counting."""
    terms = Terms(
        None if activate_at is None else moment(activate_at, "--activate-at"),
        None if retire_at is None else moment(retire_at, "--retire-at"),
        kept.keeping(),
        labelled.labels(),
    )
    with desk_of(session) as desk:
        added = certificates.add_on(desk, client_id, file, terms)
        revoked = revoking_sets(desk, [added.credential])
    new, facts = added.credential, added.credential.facts
    page = Page(
        {
            "client_id": client_id,
            "x5t#S256": new.digest,
            "activate_at": terms.activate_at,
            "retire_at": terms.retire_at,
            "shares_key_with": list(added.shares_key_with),
            "boundary": added.crosses,
            **terms.labels.given(),
        }
    )
    page.ok(
        "certificate added",
        new.digest,
        subject=facts.subject if facts else "",
        ends=until(facts.not_after) if facts else "",
        counts_from=until(terms.activate_at),
        retires=until(terms.retire_at),
        **terms.labels.given(),
    )
    if added.crosses:
        page.warn("boundary", added.crosses)
    add_revoked(page, revoked)
    for other in added.shares_key_with:
        page.warn("shared key", f"the client {other} holds the same key")
    page.command(
        "later, retire the old one; see them",
        *session.certbound("client", "cert", "list", client_id),
    )
    return page


@verb(commands, "list")
def list_certificates(session: Session, client_id: ClientId) -> Page:
    """Show a client's certificates and keys, learned and retired ones too, and who uses the old."""
    with desk_of(session) as desk:
        cycle = life_cycle(desk, client_id)
    page = Page(
        {
            "client_id": client_id,
            "credentials": [standing_members(one) for one in cycle.standings],
            "last_replaced_at": cycle.replaced_at,
        }
    )
    for one in cycle.standings:
        add_standing(page, one)
    add_overlap(page, cycle)
    if not cycle.standings:
        page.fact("none registered or seen", "recognised by name, or publishes its keys")
    return page


@verb(commands, "label", takes_thumbprint=True)
def label(
    session: Session,
    client_id: ClientId,
    thumbprint: Thumbprint,
    *,
    kept: KeepingOptions,
    labelled: LabelOptions,
) -> Page:
    """Note custody, owner or labels of a registered certificate; what is not given stays."""
    keeping, labels = kept.keeping(), labelled.labels()
    if not keeping.given() and not labels.given():
        names = "--custody --owner --tenant --risk --resource-class"
        raise typer.BadParameter("give at least one", param_hint=names)
    with desk_of(session) as desk:
        row, crosses = certificate_labels.label(desk, client_id, thumbprint, keeping, labels)
    page = Page(
        {"client_id": client_id, "credential": credential_members(row), "boundary": crosses}
    )
    page.ok(row.kind, row.thumbprint or row.spki_sha256, subject=row.subject or "", **notes_of(row))
    if crosses:
        page.warn("boundary", crosses)
    return page


RetireDryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Change nothing; say whether it is in use, and the last one."),
]


@verb(commands, "retire", takes_thumbprint=True)
def retire(
    session: Session,
    client_id: ClientId,
    thumbprint: Thumbprint,
    *,
    at: At = None,
    postpone: Postpone = False,
    dry_run: RetireDryRun = False,
) -> Page:
    """Let a certificate count no more, for good; when this returns, no process accepts it."""
    moment_of_it = None if at is None else moment(at, "--at")
    with desk_of(session) as desk:
        retired = certificates.retire(
            desk, client_id, thumbprint, moment_of_it, postpone=postpone, dry_run=dry_run
        )
    page = Page(
        {
            "client_id": client_id,
            "retired": retired.digest,
            "active": retired.left,
            "retire_at": retired.at,
            "last_used": retired.last_used,
            "dry_run": dry_run,
        }
    )
    label = "certificate retired" if retired.at is None else "certificate will retire"
    line = page.fact if dry_run else page.ok
    line(
        "certificate would retire, for good" if dry_run else label,
        retired.digest,
        at=until(retired.at),
        last_used=until(retired.last_used),
    )
    if retired.last_used is not None and _is_recent(retired.last_used):
        page.warn("it was in use", f"last used {until(retired.last_used)}")
    if retired.left == 0:
        page.warn("none is left", f"{client_id} cannot authenticate until it has a new certificate")
        page.command(
            "give it a new one", *session.certbound("client", "cert", "add", client_id, "NEWCERT")
        )
    return page


@verb(commands, "revoke", takes_thumbprint=True)
def revoke(
    session: Session,
    client_id: ClientId,
    thumbprint: Thumbprint,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> Page:
    """Let a compromised certificate or key count no more for a client, and revoke its tokens."""
    with desk_of(session) as desk:
        done = certificate_revocation.revoke(
            desk, client_id, thumbprint, reason=reason, dry_run=dry_run
        )
        ttl = desk.settings.status_list_ttl
    page = Page(
        {
            "client_id": client_id,
            "x5t#S256": done.digest,
            "changed": done.changed,
            "active": done.left,
            "dry_run": dry_run,
            "revoked": not dry_run,
        }
    )
    label = "certificate revoked" if done.changed else "certificate was revoked already"
    if dry_run and done.changed:
        page.fact("certificate would be revoked", done.digest)
    else:
        page.ok(label, done.digest)
    add_tail(page, done.tokens, ttl, would=dry_run)
    if done.left == 0:
        page.warn("none is left", f"{client_id} cannot authenticate until it has a new certificate")
    if not dry_run:
        page.command(
            "stop its key for every client too, if it leaked",
            *session.certbound("revoke", "cert", done.digest, "--key", "--dry-run"),
        )
    return page


@verb(commands, "expiring")
def expiring(session: Session, *, within: Within = "7d") -> Page:
    """Name the certificates that end soon and were not replaced; exit code 1 when there are any."""
    seconds = duration(within, "--within")
    with desk_of(session) as desk:
        found = expiry.expiring(desk, seconds)
    page = Page(
        {
            "within": seconds,
            "expiring": [
                {
                    "client_id": one.client_id,
                    "x5t#S256": one.thumbprint,
                    "subject": one.subject,
                    "not_after": one.not_after,
                    "source": "registered" if one.registered else "learned",
                    "last_used": one.last_used,
                }
                for one in found
            ],
        }
    )
    for one in found:
        page.bad(
            one.client_id,
            f"its certificate ends {until(one.not_after)}",
            thumbprint=one.thumbprint,
            subject=one.subject,
            last_used=until(one.last_used) or "never",
        )
    if found:
        page.code = REFUSED
        page.command(
            "try a new certificate before it is installed",
            *session.certbound("client", "rehearse", found[0].client_id, "NEWCERT"),
        )
    else:
        page.ok("no certificate in use ends", f"within {span(seconds)}")
    return page


def _is_recent(seconds: int) -> bool:
    return clock.now() - seconds < JUST_NOW
