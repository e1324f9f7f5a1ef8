"""``certbound trust permit | revocation | crl | bundle``: the terms on which a set vouches."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app import clock, telemetry
from app.admin import crl_file, trust, trust_bundle, trust_policy
from app.admin.client_checks import bounds_of
from app.admin.trust_policy import Policy
from app.cli import trust_pages
from app.cli.dates import duration, shortest, until
from app.cli.desk import desk_of
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.tail import add_tail
from app.clients.crl_due import lists_of
from app.store.trust import RevocationRow

Name = Annotated[str, typer.Argument(metavar="NAME", help="The trust set.")]
Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN",
        help="dn:O=Acme,C=DE (subjects in it), dns:acme.example (and subdomains) or "
        "spiffe:acme.example (a trust domain).",
    ),
]
AnyName = Annotated[bool, typer.Option("--any", help="No bounds: any name.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Change nothing; say which clients would be stopped, by the names they are "
        "registered by. The exit code is 0 all the same.",
    ),
]
Mode = Annotated[str, typer.Argument(metavar="off|crl|ocsp", help="Whether and how it is asked.")]
Hard = Annotated[
    bool, typer.Option("--hard", help="Refuse what is not known to be good. The default.")
]
Soft = Annotated[
    bool, typer.Option("--soft", help="Let in what is not known; what is known revoked stays out.")
]
Staleness = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Oldest answer or copy that counts, such as 12h. Default: as long as it says itself.",
    ),
]
Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url", metavar="URL", help="Where CRLs are fetched, repeatable; or the OCSP responder."
    ),
]
Signer = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate of a CRL signer that the CA certified."),
]
Crl = Annotated[Path, typer.Argument(metavar="FILE", help="The CRL, PEM or DER.")]
Source = Annotated[
    str, typer.Argument(metavar="FILE|URL", help="SPIFFE trust bundle: a file, or an https URL.")
]
TrustDomain = Annotated[
    str, typer.Option(metavar="DOMAIN", help="The trust domain it is for, such as acme.example.")
]


def permit(
    session: Session,
    name: Name,
    patterns: Patterns = None,
    *,
    any_name: AnyName = False,
    dry_run: DryRun = False,
) -> Page:
    """Bound the names that a set may vouch for, replacing earlier bounds."""
    if bool(patterns) == any_name:
        raise typer.BadParameter("give patterns, or --any", param_hint="PATTERN")
    with desk_of(session) as desk:
        found = trust.permit(desk, name, patterns or (), dry_run=dry_run)
    texts = found.bounds.texts
    page = Page(
        {
            "trust_set": name,
            "permitted": list(texts),
            "dry_run": dry_run,
            "clients": [trust_pages.affected_members(one) for one in found.affected],
        }
    )
    line = page.fact if dry_run else page.ok
    label = "would vouch for" if dry_run else "may vouch for"
    line("trust set", name, **{label: " ".join(texts) or "any name"})
    for one in found.affected:
        if dry_run or one.outlook != "goes on":
            trust_pages.add_affected(page, one, dry_run=dry_run)
    if dry_run:
        page.command("do it", *session.certbound("trust", "permit", name, *(patterns or ["--any"])))
    return page


def revocation(
    session: Session,
    name: Name,
    mode: Mode,
    *,
    hard: Hard = False,
    soft: Soft = False,
    max_staleness: Staleness = None,
    url: Urls = None,
    signer: Signer = None,
) -> Page:
    """Write down how revocation is judged for a set; it counts from the next request on."""
    if mode not in ("off", "crl", "ocsp"):
        raise typer.BadParameter("must be off, crl or ocsp", param_hint="off|crl|ocsp")
    if (hard and soft) or (mode == "off" and (hard or soft)):
        raise typer.BadParameter("give one of them, with crl or ocsp", param_hint="--hard --soft")
    policy = Policy(
        "off" if mode == "off" else "crl" if mode == "crl" else "ocsp",
        "soft" if soft else "hard",
        0 if max_staleness is None else duration(max_staleness, "--max-staleness"),
        url or (),
    )
    with desk_of(session) as desk:
        done = trust_policy.set_policy(desk, name, policy, signer)
        ttl = desk.settings.status_list_ttl
    page = Page(
        {
            "trust_set": name,
            "revocation": trust_pages.policy_members(done.row),
            "signers_added": list(done.signers),
            "crls": len(done.lists.standings),
            "without_crl": list(done.lists.without),
        }
    )
    page.ok("trust set", name, revocation=trust_pages.policy_text(done.row))
    for subject in done.signers:
        page.ok("CRL signer", subject)
    if mode == "crl" and not done.lists.standings:
        what = "nobody is let in until there is one" if not soft else "everybody is let in so far"
        page.warn("no CRL is loaded", what)
    if mode == "crl":
        trust_pages.warn_of_lists(page, session, done.trust_set, done.lists)
    if done.tokens.count:
        add_tail(page, done.tokens, ttl)
    if done.before != done.row and mode != "off":
        page.command("the way back", *session.certbound(*_way_back(name, done.before)))
    return page


def _way_back(name: str, before: RevocationRow) -> list[str]:
    words = ["trust", "revocation", name, before.mode]
    if before.mode != "off" and before.fail == "soft":
        words.append("--soft")
    if before.max_staleness:
        words += ["--max-staleness", shortest(before.max_staleness)]
    for url in before.urls:
        words += ["--url", url]
    return words


def crl(session: Session, name: Name, file: Crl) -> Page:
    """Load a CRL into a set, in place of the CA's older one; anything less is refused."""
    with desk_of(session) as desk:
        loaded = crl_file.load(desk, name, file)
        ttl = desk.settings.status_list_ttl
    row, policy = loaded.row, loaded.policy.revocation
    page = Page(
        {
            "trust_set": name,
            "issuer": loaded.issuer,
            "crl": trust_pages.crl_members(row, loaded.issuer),
            "replaced": trust_pages.crl_members(loaded.replaced, loaded.issuer)
            if loaded.replaced
            else None,
            "stale": loaded.stale,
            "counts": "at once",
            "stops": [
                {"client_id": use.client_id, "x5t#S256": use.thumbprint, "subject": use.subject}
                for use in loaded.stops
            ],
        }
    )
    page.ok("CRL loaded", loaded.issuer)
    [standing] = lists_of(loaded.policy, [row], clock.now()).standings
    trust_pages.add_crl(page, replace(standing, of=loaded.issuer))
    if loaded.replaced is not None:
        page.fact("replaced", f"number {loaded.replaced.number}")
    for use in loaded.stops:
        page.bad(
            use.client_id,
            "its certificate is revoked by it",
            thumbprint=use.thumbprint,
            subject=use.subject,
            last_used=until(use.last_used),
        )
    if policy.mode == "crl":
        add_tail(page, loaded.tokens, ttl)
    else:
        page.warn("not asked", f"revocation of {name} is {trust_pages.policy_text(policy)}")
        page.command("have it asked", *session.certbound("trust", "revocation", name, "crl"))
    return page


def bundle(
    session: Session,
    name: Name,
    source: Source,
    *,
    trust_domain: TrustDomain,
    max_staleness: Staleness = None,
) -> Page:
    """Let a SPIFFE trust bundle be the anchors of a set; the server keeps it fresh."""
    telemetry.configure("console", "error")  # a failed load is told below, not logged
    age = 0 if max_staleness is None else duration(max_staleness, "--max-staleness")
    with desk_of(session) as desk:
        followed = trust_bundle.follow(desk, name, source, trust_domain, age)
    row = followed.row
    page = Page(
        {
            "trust_set": name,
            "trust_domain": row.trust_domain,
            "permitted": list(bounds_of(row).texts),
            "bundle": trust_pages.bundle_members(row.bundle),
            "certificates": [trust_pages.anchor_members(one) for one in row.anchors],
            "problem": followed.problem,
        }
    )
    page.ok("trust set", name, may_vouch_for=trust_pages.bounds_text(row))
    for anchor in row.anchors:
        trust_pages.add_anchor(page, anchor)
    if row.bundle is not None:
        trust_pages.add_bundle(page, row.bundle)
    if followed.problem is not None:
        page.bad("not loaded", followed.problem, next="the server goes on trying")
        page.code = REFUSED
    return page
