"""``certbound explain REF``: why a request was refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app import clock
from app.admin.explain import Together, body_of, client_of, together
from app.admin.explain import explain as find
from app.cli.desk import desk_of
from app.cli.entries import members
from app.cli.findings import add_finding, filled_in
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb
from app.clients.model import Client
from app.errors import Finding, Reason
from app.store.audit import AuditRow

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="The value of error_ref in the server's answer.")
]


def explain(session: Session, ref: Ref) -> Page:
    """Tell what was seen, what was expected and what to do, from the error_ref of a refusal."""
    with desk_of(session) as desk:
        row = find(desk, ref)
        client, many = client_of(desk, row), together(desk, row)
    page = _page(session, row, client)
    if many is not None:
        _together(page, many)
    return page


def register(app: typer.Typer) -> None:
    """Put the command into the tree."""
    verb(app, "explain")(explain)


def _page(session: Session, row: AuditRow, client: Client | None) -> Page:
    body = body_of(row)
    page = Page({"entry": members(row)})
    page.fact("reference", row.ref or "", at=clock.iso(row.at_ms // 1000))
    if row.decision == "refused" and "status" not in body:
        _verdict(page, row, body)
    elif row.decision == "refused":
        answer = f"{body.get('status')} {body.get('error')}"
        page.bad("answered", f"{answer} ({row.reason})", endpoint=str(body.get("endpoint", "")))
    else:
        page.ok("decision", f"{row.event}, {row.decision}")
    if row.client_id is not None:
        page.fact("client", str(body.get("client_id")), method=str(body.get("method", "")))
    _certificate(page, body.get("certificate") or {})
    for finding in body.get("findings", ()):
        add_finding(page, session, _as_found(finding, client))
    return page


def _verdict(page: Page, row: AuditRow, body: Mapping[str, Any]) -> None:
    """A good token that came with somebody else's certificate, or asked for too much."""
    asked_too_much = row.reason == Reason.SCOPE_NOT_ALLOWED.value
    if str(body.get("reporter", "")).startswith("proxy:"):
        answer = "403 insufficient_scope" if asked_too_much else "401 invalid_token"
        page.bad("answered", answer, endpoint="/forward-auth")
    else:
        page.bad("answered", "active: false", endpoint="/introspect")
    page.bad(
        "token",
        f"{body.get('verdict')} ({row.reason})",
        told_by=str(body.get("reporter", "")),
        jti=str(body.get("jti", "")),
        resource=str(body.get("resource", "")),
        bound_to=str(body.get("bound_to", "")),
        do_this="Give the client the scope, and get a new token."
        if asked_too_much
        else "Use the certificate the token was issued to, or get a new token with this one.",
    )


def _together(page: Page, many: Together) -> None:
    """What the one reference says of the others that have it."""
    alike = " and ".join(many.alike)
    page.members["together"] = {
        "alike": list(many.alike),
        "count": many.count,
        "first_at": many.first_at,
        "last_at": many.last_at,
    }
    if many.count is None or many.first_at is None or many.last_at is None:
        page.warn("many alike", "still counted, or the server was killed", alike_in=alike)
    else:
        page.warn(
            "many alike",
            f"{many.count} refusals got this reference",
            alike_in=alike,
            first=clock.iso(many.first_at),
            last=clock.iso(many.last_at),
        )


def _certificate(page: Page, evidence: dict[str, Any]) -> None:
    if not evidence:
        page.fact("certificate", "none was presented, or none was looked at")
        return
    not_after = evidence.get("not_after")
    page.fact(
        "certificate",
        str(evidence.get("thumbprint", "")),
        subject=str(evidence.get("subject", "")),
        issuer=str(evidence.get("issuer", "")),
        serial=str(evidence.get("serial", "")),
        ends=clock.iso(not_after) if isinstance(not_after, int) else "",
        tls=f"{evidence.get('tls_version', '')} {evidence.get('cipher', '')}".strip(),
    )


def _as_found(finding: Mapping[str, Any], client: Client | None) -> Finding:
    """The check as it was recorded; its advice names the client, where it is one."""
    reason = finding.get("reason")
    found = Finding(
        str(finding.get("check", "")),
        str(finding.get("seen", "")),
        str(finding.get("expected", "")),
        str(finding.get("action", "")),
        # One that another release wrote is a refusal all the same.
        None if reason is None else Reason(reason) if reason in set(Reason) else Reason.UNAVAILABLE,
    )
    if client is None:
        return found
    return filled_in(found, client.client_id, Path("FILE"), client)
