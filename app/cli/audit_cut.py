"""``certbound audit cut``: retention."""

from pathlib import Path
from typing import Annotated

import typer

from app import clock
from app.admin.audit_cut import cut as cut_trail
from app.cli.audit_search import when
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb

Before = Annotated[
    str, typer.Option(metavar="T", help="Entries older than this time or duration: 400d.")
]
Export = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write them into this new file first, as jsonl.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Remove them without exporting.")]
Force = Annotated[bool, typer.Option("--force", help="Even if the audit does not verify.")]


def register(commands: typer.Typer) -> None:
    """Put the command into the noun."""
    verb(commands, "cut")(cut)


def cut(
    session: Session,
    *,
    before: Before,
    export: Export = None,
    yes: Yes = False,
    force: Force = False,
) -> Page:
    """Remove older entries; a signed checkpoint says where the audit begins, and the rest verifies."""
    before_ms = when(before, "--before") or 0
    with desk_of(session) as desk:
        done = cut_trail(desk, before_ms, export=export, without_export=yes, anyway=force)
    page = Page(
        {
            "before": before_ms // 1000,
            "entries": done.entries,
            "checkpoints": done.checkpoints,
            "checkpoint": done.number,
            "file": str(export) if done.exported is not None else None,
            "exported": done.exported,
        }
    )
    if done.number is None:
        page.fact("cut", f"nothing: no entry is from before {clock.iso(before_ms // 1000)}")
        return page
    page.ok(
        "cut",
        f"{done.entries} entries from before {clock.iso(before_ms // 1000)}",
        signed_by=f"checkpoint {done.number}",
        kept_in=f"{export}, {done.exported} entries" if done.exported is not None else "",
    )
    return page
