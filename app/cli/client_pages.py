"""What ``certbound client`` prints of clients and their certificates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import clock
from app.admin.clients import Added
from app.admin.identity import Identity
from app.admin.usage import Use
from app.cli.dates import until
from app.cli.findings import add_doubts
from app.cli.page import Page
from app.cli.session import Session
from app.clients.methods import tls_client_auth
from app.errors import Finding
from app.pki.names import SubjectMatch
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow

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
        }
    )
    page.ok("client added", row.client_id, method=row.auth_method)
    if who.subject is not None:
        page.ok("recognised by", f"{who.subject.attribute} {who.subject.text}")
        page.ok("may be vouched for by", f"trust set {', '.join(row.trust_sets)}")
    for other in who.others:
        page.fact("could also be recognised by", _as_option(other))
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
        )
    if row.jwks_uri is not None:
        page.ok("keys are read from", row.jwks_uri)
    if row.scopes:
        page.fact("scopes", " ".join(row.scopes))
    else:
        page.warn("scopes", "none: its tokens will carry none")
    page.fact("resources", " ".join(row.resources) or f"the default one, {default_resource}")
    for scope in new.unknown_scopes:
        page.warn("scope", f"no resource of this client knows {scope}: no token will carry it yet")
    add_doubts(page, session, doubts)
    if file is not None:
        page.command(
            "see that it works",
            *session.certbound("doctor", "cert", str(file), "--client", row.client_id),
        )
    return page


def overview(session: Session, rows: Sequence[ClientRow]) -> Page:
    """All clients, one line each."""
    page = Page({"clients": [client_members(row) for row in rows]})
    for row in rows:
        how = row.auth_method
        if row.subject_attribute is not None:
            how += f", {row.subject_attribute} {row.subject_text}"
        if row.disabled_at is None:
            page.ok(row.client_id, how)
        else:
            page.bad(row.client_id, f"disabled since {clock.iso(row.disabled_at)}; {how}")
    if not rows:
        page.fact("no clients yet")
        page.command("make one to try", *session.certbound("quickstart"))
    return page


def details(
    session: Session, row: ClientRow, credentials: Sequence[CredentialRow], used: Sequence[Use]
) -> Page:
    """Everything about one client."""
    page = Page(
        {
            "client": client_members(row),
            "credentials": [credential_members(one) for one in credentials],
            "last_used": [vars_of(one) for one in used],
        }
    )
    if row.disabled_at is None:
        page.ok("client", row.client_id)
    else:
        page.bad("client", row.client_id, disabled=f"since {clock.iso(row.disabled_at)}")
        page.command("enable it", *session.certbound("client", "enable", row.client_id))
    page.fact("method", row.auth_method)
    if row.auth_method == tls_client_auth.NAME:
        page.fact("recognised by", f"{row.subject_attribute} {row.subject_text}")
        page.fact("may be vouched for by", f"trust set {', '.join(row.trust_sets)}")
    if row.jwks_uri is not None:
        page.fact("keys are read from", row.jwks_uri)
    page.fact("grants", " ".join(row.grants))
    page.fact("scopes", " ".join(row.scopes) or "none")
    page.fact("resources", " ".join(row.resources) or "the default one")
    page.fact("registered", clock.iso(row.created_at), changed=clock.iso(row.updated_at))
    for credential in credentials:
        add_credential(page, credential)
    for use in used:
        page.fact(
            "last used certificate",
            use.thumbprint,
            subject=use.subject,
            at=clock.iso(use.at),
            ends=until(use.not_after),
        )
    return page


def add_credential(page: Page, row: CredentialRow) -> None:
    """One certificate or key of a client, as a line of `page`."""
    now = clock.now()
    name = row.thumbprint or row.spki_sha256
    texts = {"subject": row.subject or "", "ends": until(row.not_after)}
    if row.state == "retired":
        page.bad(f"{row.kind} (retired)", name, retired=until(row.retired_at), **texts)
    elif row.activate_at is not None and row.activate_at > now:
        page.fact(f"{row.kind} (waiting)", name, counts_from=until(row.activate_at), **texts)
    elif row.not_after is not None and row.not_after <= now:
        page.bad(f"{row.kind} (expired)", name, **texts)
    else:
        page.ok(f"{row.kind} (active)", name, **texts)


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
        "disabled": row.disabled_at is not None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def credential_members(row: CredentialRow) -> dict[str, Any]:
    """A credential as JSON members."""
    return {
        "kind": row.kind,
        "x5t#S256": row.thumbprint,
        "spki_sha256": row.spki_sha256,
        "subject": row.subject,
        "not_before": row.not_before,
        "not_after": row.not_after,
        "state": row.state,
        "activate_at": row.activate_at,
        "retired_at": row.retired_at,
        "source": row.source,
    }


def vars_of(use: Use) -> dict[str, Any]:
    """A use of a certificate as JSON members."""
    return {
        "x5t#S256": use.thumbprint,
        "subject": use.subject,
        "at": use.at,
        "not_after": use.not_after,
    }


def _as_option(match: SubjectMatch) -> str:
    return f"{_OPTION[match.attribute]} {match.text}"
