"""``certbound audit verify`` and ``checkpoint``: is the trail what was written?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from app import clock
from app.admin import audit_checkpoints
from app.admin.audit_verify import Verdict
from app.admin.audit_verify import verify as verify_trail
from app.admin.audit_walk import Fault
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.meter import Meter
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.verb import verb

SHOWN = 20
"""Faults shown as lines; --json has all."""

Since = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A checkpoint that audit checkpoint --export wrote: what it signed must still be here.",
        show_default=False,
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write it into this new file too, to be kept where this server cannot change it.",
        show_default=False,
    ),
]


def register(commands: typer.Typer) -> None:
    """Put the commands into the noun."""
    verb(commands, "verify")(verify)
    verb(commands, "checkpoint")(checkpoint)


def verify(session: Session, *, since: Since = None) -> Page:
    """Recompute every entry and compare with every checkpoint; exit code 1 where anything differs.

    Without --since, a database put back as a whole to an earlier state looks intact.
    """
    outside = audit_checkpoints.read_exported(since) if since is not None else None
    meter = Meter("entries")
    with desk_of(session) as desk:
        verdict = verify_trail(desk, outside, meter.show)
    meter.clear()
    page = Page(_members(verdict), code=REFUSED if verdict.faults else 0)
    for fault in verdict.faults[:SHOWN]:
        page.bad(
            f"{_where(fault)} {fault.what.replace('_', ' ')}",
            fault.detail,
            recorded=clock.iso(fault.at_ms // 1000) if fault.at_ms is not None else "",
        )
    if (more := len(verdict.faults) - SHOWN + verdict.more_faults) > 0:
        page.bad("more", f"{more}; --json shows {len(verdict.faults)}")
    if not verdict.faults:
        page.ok("the audit is intact", f"{verdict.entries} entries in {verdict.streams} streams")
    page.fact("signed", until(verdict.signed_at), not_signed_yet=_count(verdict.unsigned))
    if verdict.cut_before_ms is not None:
        page.fact("begins", clock.iso(verdict.cut_before_ms // 1000), cut="older ones were removed")
    if verdict.left_over:
        page.warn("older entries", f"{verdict.left_over} that the cut gave up are still here")
    if outside is not None and not verdict.faults:
        page.ok("the checkpoint kept outside", f"number {outside.number}, all it signed is here")
    return page


def checkpoint(session: Session, *, export: Export = None) -> Page:
    """Sign now where every stream of the audit stands; a server does so every minute by itself."""
    with desk_of(session) as desk:
        made = audit_checkpoints.sign_whole(desk)
        if export is not None:
            audit_checkpoints.export(desk, made, export)
    page = Page(
        {
            "number": made.number,
            "at": made.at,
            "kid": made.kid,
            "sha256": made.digest,
            "streams": len(made.streams),
            "file": str(export) if export is not None else None,
        }
    )
    page.ok(f"checkpoint {made.number}", f"{len(made.streams)} streams", signed_by=made.kid)
    if export is not None:
        page.command(
            "compare with it later",
            *session.certbound("audit", "verify", "--since", str(export)),
        )
    return page


def _where(fault: Fault) -> str:
    if fault.seq == fault.last:
        return f"{fault.writer} {fault.seq}"
    return f"{fault.writer} {fault.seq} to {fault.last}"


def _count(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}" if number else ""


def _members(verdict: Verdict) -> dict[str, Any]:
    return {
        "intact": not verdict.faults,
        "entries": verdict.entries,
        "streams": verdict.streams,
        "checkpoints": verdict.checkpoints,
        "signed_at": verdict.signed_at,
        "unsigned": verdict.unsigned,
        "left_over": verdict.left_over,
        "cut_before_ms": verdict.cut_before_ms,
        "more_problems": verdict.more_faults,
        "problems": [
            {
                "problem": fault.what,
                "writer": fault.writer,
                "seq": fault.seq,
                "last": fault.last,
                "at_ms": fault.at_ms,
                "detail": fault.detail,
            }
            for fault in verdict.faults
        ],
    }
