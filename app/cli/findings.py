"""Checks as lines: what was seen, what was expected, what to do."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.cli.page import Page
from app.cli.session import Session, advice
from app.errors import Finding


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


def filled_in(finding: Finding, client_id: str, file: Path) -> Finding:
    """The finding with the placeholders of its advice replaced by what this command knows."""
    name = shlex.quote(str(file))
    action = (
        finding.action.replace("client cert add ID FILE", f"client cert add {client_id} {name}")
        .replace("client cert list ID", f"client cert list {client_id}")
        .replace("--cert FILE", f"--cert {name}")
    )
    return Finding(finding.check, finding.seen, finding.expected, action, finding.reason)
