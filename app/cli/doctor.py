"""``certbound doctor``: what the token endpoint would say, and why."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app import telemetry
from app.admin import doctor
from app.admin.certificate_file import read_chain
from app.admin.doctor import Diagnosis
from app.cli.desk import desk_of
from app.cli.findings import add_finding, filled_in, members
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.verb import group, verb

commands = group("The doctor: the server's own checks, run offline and all of them.")

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="What the client presents: its certificate, then intermediates."
    ),
]
Client = Annotated[
    str | None,
    typer.Option("--client", metavar="ID", help="As this client; without it, every one is tried."),
]


@verb(commands, "cert")
def cert(session: Session, file: File, *, client: Client = None) -> Page:
    """Run the token endpoint's checks on a certificate: seen, expected, do this."""
    chain = read_chain(file)
    telemetry.configure("console", "error")  # a failed fetch is told below, not logged
    with desk_of(session) as desk:
        examiner = doctor.examiner(desk, chain, None if client is None else [client])
        if client is not None:
            return _one(session, file, examiner.diagnose(client))
        found = doctor.search(examiner)
    return _all(session, file, found)


def _one(session: Session, file: Path, diagnosis: Diagnosis) -> Page:
    page = Page(_members(diagnosis))
    _checks(page, session, file, diagnosis)
    _answer(page, diagnosis)
    return page


def _all(session: Session, file: Path, found: list[Diagnosis]) -> Page:
    welcome = [one for one in found if one.refusal is None]
    page = Page({"clients": [_members(one) for one in found]})
    for one in welcome:
        page.ok("authenticates", one.client_id)
    if welcome:
        _answer(page, welcome[0])
        return page
    if not found:
        page.bad("no enabled client", "nobody to authenticate as")
        page.command("register one", *session.certbound("client", "add", "ID", "--cert", str(file)))
        page.code = REFUSED
        return page
    page.bad("authenticates", f"none of {len(found)} clients", nearest=found[0].client_id)
    _checks(page, session, file, found[0])
    _answer(page, found[0])
    return page


def _checks(page: Page, session: Session, file: Path, diagnosis: Diagnosis) -> None:
    if diagnosis.fetch_problem is not None:
        page.warn("jwks_uri", f"could not be fetched just now: {diagnosis.fetch_problem}")
    for finding in diagnosis.findings:
        add_finding(page, session, filled_in(finding, diagnosis.client_id, file))


def _answer(page: Page, diagnosis: Diagnosis) -> None:
    """The last line: what the wire would say."""
    if diagnosis.refusal is None:
        page.ok("the token endpoint would answer", "200, a token bound to this certificate")
        return
    page.code = REFUSED
    problems = sum(not finding.passed for finding in diagnosis.findings)
    page.bad(
        f"{problems} problem{'' if problems == 1 else 's'}; the token endpoint would answer",
        f"{diagnosis.refusal.status} {diagnosis.refusal.error} ({diagnosis.refusal.finding.reason})",
    )


def _members(diagnosis: Diagnosis) -> dict[str, Any]:
    refusal = diagnosis.refusal
    return {
        "client_id": diagnosis.client_id,
        "findings": members(diagnosis.findings),
        "answer": {
            "status": diagnosis.status,
            "error": refusal.error if refusal else None,
            "reason": str(refusal.finding.reason) if refusal else None,
        },
    }
