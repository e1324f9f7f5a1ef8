"""Trust sets as lines and members."""

from collections.abc import Sequence
from typing import Any

from app import clock
from app.admin.client_checks import bounds_of
from app.admin.trust_forecast import Affected
from app.cli.dates import span, until
from app.cli.page import Page
from app.cli.session import Session
from app.clients.bundles import is_stale, usable_for
from app.clients.crl_due import CrlStanding, Lists, lists_of
from app.store.crls import CrlRow
from app.store.trust import BundleRow, RevocationRow, TrustAnchorRow, TrustSetRow
from app.store.uses import UseRow


def overview(session: Session, rows: Sequence[TrustSetRow], crls: Sequence[CrlRow]) -> Page:
    """Every set, with what it holds and on which terms it vouches."""
    page = Page()
    sets = []
    for row in rows:
        lists = lists_of(row, crls, clock.now())
        sets.append(_members(row, lists))
        page.fact(
            "trust set",
            row.name,
            description=row.description,
            may_vouch_for=bounds_text(row),
            trust_domain=row.trust_domain or "",
        )
        for anchor in row.anchors:
            add_anchor(page, anchor)
        if not any(one.role == "anchor" for one in row.anchors):
            page.bad("anchors", f"{row.name} has none: it vouches for nobody")
        if row.bundle is not None:
            add_bundle(page, row.bundle)
        _add_revocation(page, session, row, lists)
    page.members = {"trust_sets": sets}
    return page


def add_anchor(page: Page, row: TrustAnchorRow) -> None:
    """One certificate of a set, as a line of `page`."""
    details = {
        "thumbprint": row.thumbprint,
        "ends": until(row.not_after),
        "added": clock.iso(row.added_at),
    }
    label = "anchor" if row.role == "anchor" else "intermediate"
    if row.not_after <= clock.now():
        page.bad(f"{label} (expired)", row.subject, **details)
    else:
        page.ok(label, row.subject, **details)


def add_crl(page: Page, one: CrlStanding) -> None:
    """One CRL of a set, as a line of `page`."""
    row, now = one.row, clock.now()
    if one.of is None:
        mark, label = page.warn, "CRL (of a CA that is not in the set any more)"
    elif one.state == "stale":
        mark, label = page.bad, "CRL (stale)"
    else:
        mark, label = (page.warn, "CRL (due soon)") if one.state == "soon" else (page.ok, "CRL")
    mark(
        label,
        f"number {row.number}, {row.entries} revoked",
        of=one.of or "",
        part=row.partition,
        made=f"{clock.iso(row.this_update)}, {span(max(now - row.this_update, 0))} old",
        next_due=until(row.next_update),
        counts_until=until(one.ends) if one.ends != row.next_update else "",
        loaded=clock.iso(row.loaded_at),
    )


def warn_of_lists(page: Page, session: Session, row: TrustSetRow, lists: Lists) -> None:
    """Whom the set keeps out, or lets in unasked, for want of a list."""
    hard = row.revocation.fail == "hard"
    what = "are refused" if hard else "are let in"
    for subject in lists.without:
        page.warn(
            f"no CRL of {subject}",
            f"certificates from it {what} until there is one",
            fetched_from=" ".join(row.revocation.urls),
        )
    for one in lists.due:
        if one.state == "stale":
            page.warn(f"the CRL of {one.of} is stale", f"certificates from it {what}")
    if (lists.without or lists.due) and not row.revocation.urls:
        page.command("load one", *session.certbound("trust", "crl", row.name, "CRL_FILE"))


def policy_text(policy: RevocationRow) -> str:
    """A revocation policy in a line."""
    if policy.mode == "off":
        return "off: nobody is asked"
    words = {
        "hard": "hard: what is not known to be good is refused",
        "soft": "soft: what is not known is let in",
    }[policy.fail]
    limit = f", answers at most {span(policy.max_staleness)} old" if policy.max_staleness else ""
    return f"{policy.mode}, {words}{limit}"


def bounds_text(row: TrustSetRow) -> str:
    """The names a set may vouch for, for people."""
    return " ".join(bounds_of(row).texts) or "any name"


def anchor_members(row: TrustAnchorRow) -> dict[str, Any]:
    """One certificate of a set as JSON members."""
    return {
        "x5t#S256": row.thumbprint,
        "role": row.role,
        "subject": row.subject,
        "not_after": row.not_after,
        "added_at": row.added_at,
    }


def crl_members(row: CrlRow, of: str | None) -> dict[str, Any]:
    """One CRL as JSON members; `of`: its CA, None where that is not in the set any more."""
    return {
        "issuer": of,
        "issuer_key": row.issuer_key,
        "partition": row.partition,
        "number": int(row.number) if row.number else None,
        "this_update": row.this_update,
        "next_update": row.next_update,
        "loaded_at": row.loaded_at,
        "entries": row.entries,
        "sha256": row.digest,
    }


def policy_members(row: RevocationRow) -> dict[str, Any]:
    """A revocation policy as JSON members."""
    return {
        "mode": row.mode,
        "fail": row.fail,
        "max_staleness": row.max_staleness,
        "urls": list(row.urls),
    }


def bundle_members(row: BundleRow | None) -> dict[str, Any] | None:
    """Where anchors come from, as JSON members; None: pinned by hand."""
    if row is None:
        return None
    return {
        "source": row.source,
        "sequence": row.sequence,
        "refresh_hint": row.refresh_hint,
        "fetched_at": row.fetched_at,
        "usable_for": usable_for(row),
        "stale": is_stale(row, clock.now()),
    }


def affected_members(one: Affected) -> dict[str, Any]:
    """A client that names a set which goes, as JSON members."""
    last = one.last
    return {
        "client_id": one.client_id,
        "outlook": one.outlook.replace(" ", "_"),
        "last_used": last.last_used if last else None,
        "x5t#S256": last.thumbprint if last else None,
        "subject": last.subject if last else None,
        "issuer": last.issuer if last else None,
        "not_after": last.not_after if last else None,
        "stopping": [
            {"x5t#S256": use.thumbprint, "issuer": use.issuer, "last_used": use.last_used}
            for use in one.stopping
        ],
    }


def add_affected(page: Page, one: Affected, *, dry_run: bool) -> None:
    """What becomes of a client, as a line of `page`."""
    words = {
        "stops": "would stop authenticating" if dry_run else "cannot authenticate any more",
        "in part": "goes on in part: an instance may stop" if dry_run else "goes on in part",
        "unclear": "may stop: only its next login will tell" if dry_run else "may be stopped",
        "goes on": "goes on",
        "stopped": "is stopped already: its certificates are revoked or have ended",
    }
    mark = {"stops": page.bad, "goes on": page.ok, "stopped": page.fact}.get(one.outlook, page.warn)
    last = one.last
    if one.going is not None:
        mark(one.client_id, words[one.outlook], goes_on_with=_of(one.going))
        for use in one.stopping:
            page.warn(f"{one.client_id} not with", _of(use), last_used=until(use.last_used))
        return
    mark(
        one.client_id,
        words[one.outlook],
        last_used=until(last.last_used) if last else "never seen",
        with_certificate=f"{last.thumbprint} {last.subject}" if last else "",
        issued_by=last.issuer if last else "",
        ends=until(last.not_after) if last else "",
    )


def _of(use: UseRow) -> str:
    return f"{use.thumbprint} {use.subject}, issued by {use.issuer}"


def add_bundle(page: Page, row: BundleRow) -> None:
    """Where anchors come from, as a line of `page`."""
    now = clock.now()
    stale = is_stale(row, now)
    mark = page.bad if stale else page.ok
    age = "never loaded" if row.fetched_at is None else f"{span(max(now - row.fetched_at, 0))} old"
    mark(
        "bundle (stale)" if stale else "bundle",
        row.source,
        sequence="none stated" if row.sequence is None else str(row.sequence),
        age=age,
        counts_for=span(usable_for(row)),
    )


def _add_revocation(page: Page, session: Session, row: TrustSetRow, lists: Lists) -> None:
    policy = row.revocation
    page.fact("revocation", policy_text(policy), sources=" ".join(policy.urls))
    for one in lists.standings:
        add_crl(page, one)
    for subject in lists.without:
        page.bad(f"no CRL of {subject}")
    if lists.without and not policy.urls:
        page.command("load one", *session.certbound("trust", "crl", row.name, "CRL_FILE"))


def _members(row: TrustSetRow, lists: Lists) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "certificates": [anchor_members(one) for one in row.anchors],
        "permitted": list(bounds_of(row).texts),
        "trust_domain": row.trust_domain,
        "bundle": bundle_members(row.bundle),
        "revocation": policy_members(row.revocation),
        "crls": [{**crl_members(one.row, one.of), "state": one.state} for one in lists.standings],
        "without_crl": list(lists.without),
    }
