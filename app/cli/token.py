"""``certbound token``: get one as a client would, and read one."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.admin import clients
from app.admin.authority import directory
from app.admin.certificate_file import read_chain
from app.admin.no_user import require_no_user
from app.admin.problem import Kind, Problem
from app.admin.token_request import Answer, Holder, ask
from app.admin.tokens import inspect
from app.cli.claims import add_claims
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.findings import add_finding, members
from app.cli.page import REFUSED, Page
from app.cli.session import Session, shown
from app.cli.verb import group, verb
from app.config import Settings
from app.issuers import Issuer
from app.jose.jwt import MAX_TOKEN

commands = group("Tokens: get one as a client does, and read one.")

_REF = re.compile(r"[0-9a-z]{8,64}")

Cert = Annotated[Path, typer.Option("--cert", metavar="FILE", help="The client's certificate.")]
Key = Annotated[Path, typer.Option("--key", metavar="FILE", help="Its private key, PEM.")]
Client = Annotated[
    str | None,
    typer.Option("--client", metavar="ID", help="client_id; default: the file's name, bot.crt."),
]
Scope = Annotated[
    list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope; repeatable.")
]
Resource = Annotated[str | None, typer.Option(metavar="URL", help="The resource it is for.")]
Cacert = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Who vouches for the server; default: certs/ca.crt if any."),
]
IssuerUrl = Annotated[
    str | None, typer.Option("--issuer", metavar="URL", help="Another server's issuer identifier.")
]
Curl = Annotated[bool, typer.Option("--curl", help="Print the same as a curl command instead.")]
Raw = Annotated[bool, typer.Option("--raw", help="Print the token and nothing else.")]
Token = Annotated[str, typer.Argument(metavar="TOKEN", help="The token; - reads standard input.")]
InspectCert = Annotated[
    Path | None, typer.Option("--cert", metavar="FILE", help="Is it bound to this certificate?")
]


@verb(commands, "get")
def get(
    session: Session,
    *,
    cert: Cert,
    key: Key,
    client: Client = None,
    scope: Scope = None,
    resource: Resource = None,
    cacert: Cacert = None,
    issuer: IssuerUrl = None,
    curl: Curl = False,
    raw: Raw = False,
) -> Page:
    """Ask the running server for a token, as a client of this certificate."""
    settings = session.settings
    require_no_user(issuer or "", "an issuer")
    require_no_user(resource or "", "a resource")
    own_ca = directory(settings) / "ca.crt"
    ca_file = cacert or (own_ca if own_ca.exists() else None)
    leaf = read_chain(cert)[0]
    holder = Holder(client or _client_of(session, cert), cert, key, ca_file)
    scopes = " ".join(scope or ()) or None
    if curl:
        return _as_curl(settings, holder, scopes, resource)
    answer = ask(holder, issuer or settings.issuer, scope=scopes, resource=resource)
    if answer.access_token is None:
        return _refused(session, answer, raw=raw)
    page = _issued(answer, answer.access_token, leaf)
    if raw:
        if page.code == REFUSED:
            raise Problem("the token is not bound to this certificate", seen=answer.url)
        page.lines = page.lines[-1:]
    return page


@verb(commands, "inspect")
def inspect_token(session: Session, token: Token, *, cert: InspectCert = None) -> Page:
    """Explain a token, verify it with this home's keys, and compare it with a certificate."""
    text = token
    if token == "-":  # noqa: S105 - the name of standard input
        text = sys.stdin.buffer.read(MAX_TOKEN + 2).decode("ascii", "replace")
    leaf = None if cert is None else read_chain(cert)[0]
    try:
        with desk_of(session) as desk:
            found = inspect(text, desk, leaf)
    except Problem as problem:
        if problem.kind is not Kind.ENVIRONMENT:
            raise
        found = inspect(text, None, leaf)
    findings = [one for one in (found.signature, found.binding) if one is not None]
    page = Page(
        {
            "header": dict(found.header),
            "claims": dict(found.claims),
            "verified": found.signature.passed if found.signature else None,
            "bound": found.binding.passed if found.binding else None,
            "recorded": found.record is not None,
            "revoked": found.record is not None and found.record.revoked_at is not None,
            "checks": members(findings),
        }
    )
    add_claims(page, found.claims)
    if found.signature is None:
        page.warn("signature", "not verified: there is no database in this home")
    for finding in findings:
        if finding.check == "issuer":
            page.bad(
                finding.check,
                "the signature is genuine, the issuer is not this home's",
                seen=finding.seen,
                expected=finding.expected,
                do_this=finding.action,
            )
        else:
            add_finding(page, session, finding)
    if found.signature is not None:
        revoked = found.record.revoked_at if found.record else None
        if revoked is not None:
            page.bad("record", "revoked", since=until(revoked))
            page.code = REFUSED
        else:
            page.fact("record", "in this database" if found.record else "none in this database")
    if found.problems:
        page.code = REFUSED
    return page


def _client_of(session: Session, cert: Path) -> str:
    """The file's stem, where a client of that name is registered here."""
    known: list[str] = []
    seen = f"no client called {cert.stem} in this home"
    try:
        with desk_of(session) as desk:
            known = [row.client_id for row in clients.listed(desk)]
    except Problem as problem:
        if problem.kind is not Kind.ENVIRONMENT:
            raise
        seen = f"{problem.message}, so {cert.stem} cannot be looked up"
    if cert.stem not in known:
        raise Problem(
            "which client is it?",
            seen=seen,
            expected="--client ID",
            action="certbound client list" if known else "Name it with --client.",
            kind=Kind.USAGE,
        )
    return cert.stem


def _as_curl(settings: Settings, holder: Holder, scopes: str | None, resource: str | None) -> Page:
    command = ["curl"]
    if holder.ca_file is not None:
        command += ["--cacert", shown(holder.ca_file)]
    command += ["--cert", str(holder.certificate), "--key", str(holder.key)]
    command += ["-d", "grant_type=client_credentials", "-d", f"client_id={holder.client_id}"]
    if scopes is not None:
        command += ["--data-urlencode", f"scope={scopes}"]
    if resource is not None:
        command += ["--data-urlencode", f"resource={resource}"]
    command.append(Issuer(settings.issuer, settings.mtls_base_url).mtls_url("/token"))
    page = Page({"command": command, "shell": shlex.join(command)})
    page.block(shlex.join(command))
    return page


def _issued(answer: Answer, access_token: str, leaf: bytes) -> Page:
    found = inspect(access_token, None, leaf)
    bound = found.binding is not None and found.binding.passed
    page = Page(
        {
            **answer.members,
            "token_endpoint": answer.url,
            "claims": dict(found.claims),
            "bound": bound,
        }
    )
    page.ok("token from", answer.url)
    add_claims(page, found.claims)
    if bound:
        page.ok("bound to this certificate", "yes")
    else:
        page.bad("bound to this certificate", "no: anybody who copies it can use it")
        page.code = REFUSED
    page.block(access_token)
    return page


def _refused(session: Session, answer: Answer, *, raw: bool) -> Page:
    page = Page(
        {"status": answer.status, "token_endpoint": answer.url, "response": dict(answer.members)},
        REFUSED,
    )
    page.bad("refused", f"{answer.status} from {answer.url}")
    for name, value in answer.members.items():
        page.fact(name, str(value))
    ref = answer.members.get("error_ref")
    ref = ref if isinstance(ref, str) and _REF.fullmatch(ref) else None
    if raw and not session.as_json:  # whoever takes standard output for a token gets none
        raise Problem(
            "refused",
            seen=f"{answer.status} {answer.members.get('error', '')} from {answer.url}",
            command=("certbound", "explain", ref) if ref else (),
        )
    if ref:
        page.command("why", *session.certbound("explain", ref))
    return page
