"""``certbound quickstart``: from an empty directory to something that serves."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from app import telemetry
from app.admin import doctor
from app.admin.authority import directory
from app.admin.certificate_file import read_chain
from app.admin.desk import at_desk
from app.admin.quickstart import CLIENT_ID, Part
from app.admin.quickstart import quickstart as make
from app.cli.findings import add_finding, filled_in
from app.cli.first_token import curl
from app.cli.page import REFUSED, Page
from app.cli.session import Session, shown
from app.cli.verb import verb
from app.config import Settings

Brief = Annotated[bool, typer.Option("--brief", help="Say what was made, without next steps.")]


def quickstart(session: Session, *, brief: Brief = False) -> Page:
    """Make a development CA, certificates, a database and the client "bot"; keep what exists."""
    settings = session.settings
    page = Page()
    parts = list(make(settings))
    for part in parts:
        _part(page, session, part)
    would_work = _try_it(page, session, settings)
    if any(part.problem for part in parts) or not would_work:
        page.code = REFUSED
    page.warn("DEV", "a development CA, its key in certs/ca.key: never use this home in production")
    first = curl(settings)
    inspect = session.certbound(
        "token",
        "get",
        "--cert",
        shown(directory(settings) / f"{CLIENT_ID}.crt"),
        "--key",
        shown(directory(settings) / f"{CLIENT_ID}.key"),
    )
    if not brief:
        page.command("start it", *session.certbound("serve"))
        page.command("then ask for a token", *first)
        page.command("the same with its claims explained", *inspect)
        page.command(
            "next, make a certificate for a client of your own",
            *session.certbound(
                "ca", "issue", "my-agent", "--san-uri", "spiffe://dev.local/my-agent"
            ),
        )
    page.members = {
        "parts": [
            {"name": p.name, "value": p.value, "made": p.made, "problem": p.problem or None}
            for p in parts
        ],
        "development": True,
        "commands": {
            "serve": shlex.join(session.certbound("serve")),
            "token": shlex.join(first),
            "inspect": shlex.join(inspect),
        },
    }
    return page


def register(app: typer.Typer) -> None:
    """Put the command into the tree."""
    verb(app, "quickstart")(quickstart)


def _part(page: Page, session: Session, part: Part) -> None:
    value = part.value
    if value.startswith("/"):
        value = shown(Path(value))
    if part.problem:
        page.bad(part.name, value, problem=part.problem)
        if part.remedy:
            page.command("remove it", "rm", "--", *(shown(path) for path in part.remedy))
            page.command("then make it anew", *session.certbound("quickstart"))
    else:
        page.ok(part.name, value, kept="" if part.made else "yes, it was there already")


def _try_it(page: Page, session: Session, settings: Settings) -> bool:
    """Ask the token endpoint's own code whether the client would get a token."""
    file = directory(settings) / f"{CLIENT_ID}.crt"
    telemetry.configure("console", "error")  # as in app.cli.doctor
    with at_desk(settings) as desk:
        diagnosis = doctor.examiner(desk, read_chain(file), [CLIENT_ID]).diagnose(CLIENT_ID)
    for finding in diagnosis.findings:
        if not finding.passed:
            add_finding(
                page, session, filled_in(finding, CLIENT_ID, Path(shown(file)), diagnosis.client)
            )
    return diagnosis.refusal is None
