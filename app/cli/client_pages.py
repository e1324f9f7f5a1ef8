"""What ``certbound client`` prints of clients and their certificates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app import clock
from app.admin.clients import Added, name_text
from app.admin.identity import Identity
from app.admin.life_cycle import LifeCycle
from app.admin.sight import OWN, sight_text
from app.cli.certificate_pages import add_overlap, add_standing, standing_members
from app.cli.dates import until
from app.cli.findings import add_doubts
from app.cli.page import Page
from app.cli.session import Session
from app.clients.methods import tls_client_auth
from app.errors import Finding
from app.pki.names import SubjectMatch
from app.store.clients import ClientRow
from app.store.uses import UseRow

_OPTION = {
    "subject_dn": "--subject-dn",
    "san_dns": "--san-dns",
    "san_uri": "--san-uri",
    "san_ip": "--san-ip",
    "san_email": "--san-email",
}


def added(
    session: Session,
    new: Added,
    who: Identity,
    default_resource: str,
    file: Path | None,
    *,
    doubts: Sequence[Finding] = (),
) -> Page:
    """A client was registered: how it will be recognised, and what to look at."""
    row = new.row
    page = Page(
        {
            "client": client_members(row),
            "credentials": [one.digest for one in who.credentials],
            "alternatives": [{one.attribute: one.text} for one in who.others],
            "unknown_scopes": list(new.unknown_scopes),
            "shares_keys_with": list(new.shares_keys_with),
        }
    )
    page.ok("client added", row.client_id, method=row.auth_method)
    if who.subject is not None:
        page.ok("recognised by", f"{who.subject.attribute} {who.subject.text}")
    if who.spiffe_id is not None:
        page.ok("recognised by", f"spiffe_id {who.spiffe_id}")
    if row.trust_sets:
        page.ok("may be vouched for by", f"trust set {', '.join(row.trust_sets)}")
    for other in who.others:
        page.fact("could also be recognised by", _as_option(other))
    notes = {"key_kept_in": new.notes.get("custody", ""), "owner": new.notes.get("owner", "")}
    for credential in who.credentials:
        facts = credential.facts
        page.ok(
            f"registered {credential.kind}",
            credential.digest,
            subject=facts.subject if facts else "",
            ends=until(facts.not_after) if facts else "",
            note="issued by a CA; here only this very certificate counts, not its issuer"
            if facts and not facts.self_issued
            else "",
            **notes,
        )
    if row.jwks_uri is not None:
        page.ok("keys are read from", row.jwks_uri)
    _allowed(page, new, default_resource)
    add_doubts(page, session, doubts)
    if file is not None:
        page.command(
            "see whether it works then" if doubts else "see that it works",
            *session.certbound("doctor", "cert", str(file), "--client", row.client_id),
        )
    return page


def _allowed(page: Page, new: Added, default_resource: str) -> None:
    """What it may have, where it belongs, and what to look at."""
    row = new.row
    if not row.grants:
        page.fact("grants", "none: it gets no tokens")
    if sight_text(row) != OWN:
        page.fact("may look at", sight_text(row))
    if not row.grants:
        return
    if row.scopes:
        page.fact("scopes", " ".join(row.scopes))
    else:
        page.warn("scopes", "none: its tokens will carry none")
    page.fact("resources", " ".join(row.resources) or f"the default one, {default_resource}")
    if row.resources and default_resource not in row.resources:
        page.fact("it must name its resource", f"--resource {row.resources[0]}")
    for name, text in labels_of(row).items():
        if text:
            page.fact(name.replace("_", " "), text)
    for other_client in new.shares_keys_with:
        page.warn("shared key", f"the client {other_client} holds the same key")
    for scope in new.unknown_scopes:
        page.warn("scope", f"no resource of this client knows {scope}: no token will carry it yet")


def overview(
    session: Session, rows: Sequence[ClientRow], denied: Mapping[str, Sequence[str]]
) -> Page:
    """All clients, one line each; by client, how certificates of it are denied."""
    page = Page(
        {
            "clients": [
                {**client_members(row), "denied": list(denied.get(row.client_id, ()))}
                for row in rows
            ]
        }
    )
    for row in rows:
        how = row.auth_method + (f", looks at {sight_text(row)}" if sight_text(row) != OWN else "")
        if name_text(row):
            how += f", {name_text(row)}"
        how_denied = "; ".join(denied.get(row.client_id, ()))
        mark = page.warn if how_denied else page.ok
        if row.disabled_at is not None:
            mark, how = page.bad, f"disabled since {clock.iso(row.disabled_at)}; {how}"
        mark(row.client_id, how, certificate_denied_by=how_denied)
    if not rows:
        page.fact("no clients yet")
        page.command("make one to try", *session.certbound("quickstart"))
    return page


def details(session: Session, cycle: LifeCycle) -> Page:
    """Everything about one client."""
    row = cycle.client
    page = Page(
        {
            "client": client_members(row),
            "credentials": [
                standing_members(one) for one in cycle.standings if one.credential is not None
            ],
            "last_used": [vars_of(one) for one in cycle.used],
            "last_replaced_at": cycle.replaced_at,
        }
    )
    if row.disabled_at is None:
        page.ok("client", row.client_id)
    else:
        page.bad("client", row.client_id, disabled=f"since {clock.iso(row.disabled_at)}")
        page.command("enable it", *session.certbound("client", "enable", row.client_id))
    page.fact("method", row.auth_method)
    if row.auth_method == tls_client_auth.NAME:
        page.fact("recognised by", name_text(row))
        page.fact("may be vouched for by", f"trust set {', '.join(row.trust_sets)}")
    if row.jwks_uri is not None:
        page.fact("keys are read from", row.jwks_uri)
    page.fact("grants", " ".join(row.grants) or "none: it gets no tokens")
    page.fact("may look at", sight_text(row))
    page.fact("scopes", " ".join(row.scopes) or "none")
    page.fact("resources", " ".join(row.resources) or "the default one")
    for name, text in labels_of(row).items():
        if text:
            page.fact(name.replace("_", " "), text)
    page.fact("registered", clock.iso(row.created_at), changed=clock.iso(row.updated_at))
    for one in cycle.standings:
        add_standing(page, one)
    add_overlap(page, cycle)
    if cycle.used:
        page.fact("certificate last replaced", until(cycle.replaced_at) or "never")
    return page


def client_members(row: ClientRow) -> dict[str, Any]:
    """A client as JSON members; names as in RFC 7591 and RFC 8705 where they have one."""
    subject = {}
    if row.subject_attribute is not None:
        subject = {f"tls_client_auth_{row.subject_attribute}": row.subject_text}
    return {
        "client_id": row.client_id,
        "token_endpoint_auth_method": row.auth_method,
        **subject,
        "jwks_uri": row.jwks_uri,
        "grant_types": list(row.grants),
        "scope": " ".join(row.scopes),
        "resources": list(row.resources),
        "trust_sets": list(row.trust_sets),
        "introspection": row.introspection,
        "serves": list(row.serves),
        "spiffe_id": row.spiffe_id,
        **labels_of(row),
        "disabled": row.disabled_at is not None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def labels_of(row: ClientRow) -> dict[str, str]:
    """What boundaries are drawn by."""
    return {"tenant": row.tenant, "risk": row.risk, "resource_class": row.resource_class}


def vars_of(use: UseRow) -> dict[str, Any]:
    """A certificate that was used, as JSON members."""
    return {
        "x5t#S256": use.thumbprint,
        "subject": use.subject,
        "at": use.last_used,
        "not_after": use.not_after,
        "first_used": use.first_used,
        "uses": use.uses,
        "trust_set": use.trust_set,
    }


def _as_option(match: SubjectMatch) -> str:
    return f"{_OPTION[match.attribute]} {match.text}"
