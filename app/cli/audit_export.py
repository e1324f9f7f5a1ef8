"""``certbound audit export``: every entry as a line, to be kept outside or read by a SIEM."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.admin import audit_export
from app.admin.audit_spelling import FORMATS
from app.cli.audit_search import Since, Until, when
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb
from app.store.audit import Wanted


class Form(StrEnum):
    """What an entry is spelled as."""

    JSONL = "jsonl"
    OCSF = "ocsf"
    CEF = "cef"


File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A new file; none: standard output.", show_default=False),
]
Format = Annotated[
    Form,
    typer.Option("--format", metavar="F", help="jsonl (verifiable), ocsf (1.3.0) or cef."),
]


def register(commands: typer.Typer) -> None:
    """Put the command into the noun."""
    verb(commands, "export")(export)


def export(
    session: Session,
    file: File = None,
    *,
    form: Format = Form.JSONL,
    since: Since = None,
    until: Until = None,
) -> Page:
    """Write every entry as one line, in order of time. Without FILE nothing else is printed."""
    wanted = Wanted(since_ms=when(since, "--since"), until_ms=when(until, "--until"))
    spell = FORMATS[form.value]
    with desk_of(session) as desk:
        if file is None:
            session.emit_lines(map(spell, audit_export.entries(desk, wanted)))
            return Page(silent=True)
        done = audit_export.write_file(desk, wanted, spell, file)
    page = Page({"file": str(file), "entries": done.entries, "sha256": done.sha256})
    page.ok("exported", f"{done.entries} entries to {file}", sha256=done.sha256)
    return page
