"""Checks as lines: what was seen, what was expected, what to do."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.admin.client_checks import NO_GRANT
from app.admin.clients import DEFAULT_TRUST
from app.admin.weakest_set import Weakest
from app.cli.page import Page
from app.cli.session import Session, advice
from app.clients.model import Client
from app.errors import Finding
from app.grants import client_credentials


def add_finding(page: Page, session: Session, finding: Finding) -> None:
    """One check, as a line of `page`."""
    if finding.passed:
        page.ok(finding.check, finding.seen)
        return
    page.bad(
        finding.check,
        str(finding.reason),
        seen=finding.seen,
        expected=finding.expected,
        do_this=advice(finding.action, session.home_flag),
    )


def add_doubts(page: Page, session: Session, doubts: Sequence[Finding]) -> None:
    """What would be refused as things stand; nothing was refused now."""
    page.members["problems"] = members(doubts)
    for finding in doubts:
        page.warn(
            finding.check,
            str(finding.reason),
            seen=finding.seen,
            expected=finding.expected,
            do_this=advice(finding.action, session.home_flag),
        )


def add_weakest(page: Page, session: Session, found: Weakest | None) -> None:
    """A client's trust sets are not equally strict: which one is the least, and what mends it."""
    if found is None:
        return
    page.warn(
        "revocation",
        f"this client is only as safe as trust set {found.name} makes it",
        seen=found.seen,
    )
    page.command("make it as strict", *session.certbound(*found.command[1:]))


def members(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Checks as JSON members."""
    return [
        {
            "check": finding.check,
            "passed": finding.passed,
            "reason": str(finding.reason) if finding.reason else None,
            "seen": finding.seen,
            "expected": finding.expected,
            "action": finding.action,
        }
        for finding in findings
    ]


def filled_in(finding: Finding, client_id: str, file: Path, client: Client | None) -> Finding:
    """The finding with the placeholders of its advice replaced by what this command knows.

    A client that is to be registered anew keeps its trust sets, scopes, resources, grants and sight.
    """
    name, who = shlex.quote(str(file)), shlex.quote(client_id)
    kept = _kept(client) if client else ""
    trust = _options("--trust", client.trust_sets) if client else ""
    own = "--method self_signed_tls_client_auth --cert"
    action = (
        finding.action.replace("client cert add ID FILE", f"client cert add {who} {name}")
        # a match keeps all else, so nothing is added behind its file: hidden from what follows
        .replace("client match ID --cert FILE", f"client match {who} --cert\0{name}")
        .replace("client cert list ID", f"client cert list {who}")
        .replace(f"{own} FILE", f"{own} {name}{kept}")
        .replace("--cert FILE --trust", f"--cert {name}{kept} --trust")
        .replace("--cert FILE", f"--cert {name}{trust}{kept}")
        .replace("client add ID", f"client add {who}")
        .replace("client remove ID", f"client remove {who}")
        .replace("client trust ID", f"client trust {who}")
        .replace("\0", " ")
    )
    if client is not None and client.trust_sets:
        action = action.replace("trust add NAME", f"trust add {client.trust_sets[0]}")
    return Finding(finding.check, finding.seen, finding.expected, action, finding.reason)


def _kept(client: Client) -> str:
    grants = client.grant_types or (NO_GRANT,)
    if grants == (client_credentials.GRANT_TYPE,):
        grants = ()
    return (
        _options("--scope", client.scopes)
        + _options("--resource", client.resources)
        + _options("--grant", grants)
        + _options("--serves", client.serves)
        + (" --introspect-all" if client.sees_all else "")
    )


def _options(name: str, values: Sequence[str]) -> str:
    default = name == "--trust" and tuple(values) == (DEFAULT_TRUST,)
    return "" if default else "".join(f" {name} {shlex.quote(value)}" for value in values)
