"""``certbound audit incident``: the note about one token or certificate."""

from typing import Annotated

import typer

from app.admin.incident import of
from app.cli import incident_note
from app.cli.desk import desk_of
from app.cli.escape import command_line
from app.cli.meter import Meter
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import verb

Subject = Annotated[
    str,
    typer.Argument(
        metavar="JTI|THUMBPRINT", help="A token's jti, or a certificate's thumbprint or file."
    ),
]
Markdown = Annotated[
    bool, typer.Option("--markdown", help="Print the note as Markdown, to be kept with the case.")
]


def register(commands: typer.Typer) -> None:
    """Put the command into the noun."""
    verb(commands, "incident", takes_thumbprint=True)(incident)


def incident(session: Session, subject: Subject, *, markdown: Markdown = False) -> Page:
    """Gather what is recorded of a token or certificate: whose it is, who used it, what was done."""
    meter = Meter("entries")
    with desk_of(session) as desk:
        found = of(desk, subject, lambda seen: meter.show(seen, None))
    meter.clear()
    steps = incident_note.next_steps(found)
    page = Page(incident_note.members(found))
    page.members["next"] = [
        {"purpose": purpose, "command": list(session.certbound(*words))} for purpose, words in steps
    ]
    if markdown:
        told = [(purpose, _command(session.certbound(*words))) for purpose, words in steps]
        page.block(incident_note.markdown(found, told))
        return page
    page.warn(incident_note.conclusion(found))
    for section in incident_note.sections(found):
        page.block(section.title)
        for label, value in section.statements:
            page.fact(label, value)
    for purpose, words in steps:
        page.command(purpose, *session.certbound(*words))
    page.block(incident_note.SCOPE)
    return page


def _command(words: tuple[str, ...]) -> str:
    try:
        return command_line(words)
    except ValueError as error:
        return f"(cannot be shown: {error})"
