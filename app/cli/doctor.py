"""``certbound doctor``: what the token endpoint would say, and why."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from app import telemetry
from app.admin import doctor
from app.admin.certificate_file import read_chain
from app.admin.clients import CLIENT_ID, DEFAULT_TRUST
from app.admin.diagnosis import Diagnosis
from app.admin.doctor import Examiner
from app.cli.desk import desk_of
from app.cli.findings import add_finding, add_weakest, filled_in, members
from app.cli.page import REFUSED, Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.clients.methods import self_signed_tls_client_auth

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
Resource = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="What it would ask a token for; without it, the default resource."
    ),
]


@verb(commands, "cert")
def cert(session: Session, file: File, *, client: Client = None, resource: Resource = None) -> Page:
    """Run the token endpoint's checks on a certificate: seen, expected, do this."""
    chain = read_chain(file)
    telemetry.configure("console", "error")  # a failed fetch is told below, not logged
    with desk_of(session) as desk:
        asked = None if client is None else [client]
        examiner = doctor.examiner(desk, chain, asked, resource=resource)
        if client is not None:
            return _one(session, file, examiner.diagnose(client))
        found = doctor.search(examiner)
        known = examiner.registry.client_ids()
    if any(one.refusal is None or one.is_meant for one in found):
        return _all(session, file, [one for one in found if one.refusal is None or one.is_meant])
    return _nobody(session, file, examiner, known)


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
    page.bad("authenticates", "nobody", nearest=found[0].client_id)
    _checks(page, session, file, found[0])
    _answer(page, found[0])
    return page


def _nobody(session: Session, file: Path, examiner: Examiner, known: list[str]) -> Page:
    """No client is recognised by it: what of the certificate itself, and how it could become one."""
    findings, trust_set = examiner.certificate()
    own = examiner.is_self_signed()
    page = Page({"clients": [], "findings": members(findings), "trust_set": trust_set}, REFUSED)
    page.bad("authenticates", "nobody: no enabled client has this name, certificate or key")
    for finding in findings:
        # What a self-signed one is good for stands below.
        action = "" if own else finding.action.replace("trust add NAME", "trust add default")
        add_finding(page, session, replace(finding, action=action))
    if trust_set is not None or own:
        stem = file.stem
        client_id = stem if CLIENT_ID.fullmatch(stem) and stem not in known else "NAME"
        words = ["client", "add", client_id]
        words += ["--method", self_signed_tls_client_auth.NAME] if own else []
        words += ["--cert", str(file)]
        words += ["--trust", trust_set] if trust_set and trust_set != DEFAULT_TRUST else []
        page.command("only if you know whose it is, register it", *session.certbound(*words))
    page.bad("the token endpoint would answer", "401 invalid_client, whoever asks")
    return page


def _checks(page: Page, session: Session, file: Path, diagnosis: Diagnosis) -> None:
    if diagnosis.fetch_problem is not None:
        page.warn("jwks_uri", f"could not be fetched just now: {diagnosis.fetch_problem}")
    for finding in diagnosis.findings:
        add_finding(page, session, filled_in(finding, diagnosis.client_id, file, diagnosis.client))
    add_weakest(page, session, diagnosis.weakest)


def _answer(page: Page, diagnosis: Diagnosis) -> None:
    """The last line: what the wire would say."""
    if diagnosis.refusal is None:
        page.ok("the token endpoint would answer", "200, a token bound to this certificate")
        return
    if diagnosis.is_onlooker:
        page.ok("the introspection endpoint would answer", "200, for it is recognised")
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
        "weakest_trust_set": diagnosis.weakest.name if diagnosis.weakest else None,
    }
