"""``certbound ca``: the development CA and what it issues."""

from pathlib import Path
from typing import Annotated

import typer

from app.admin import authority, resources
from app.admin.authority import Request
from app.admin.problem import Problem
from app.admin.quickstart import SCOPE
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session, shown
from app.cli.verb import group, verb
from app.pki.devca import Issued
from app.store.engine import StoreUnavailable

commands = group("The development CA in certs/. Not for production: its key lies beside it.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Names the files NAME.crt and NAME.key.")]
Dn = Annotated[str | None, typer.Option(metavar="DN", help="Subject; default: CN=NAME.")]
SanDns = Annotated[
    list[str] | None, typer.Option("--san-dns", metavar="NAME", help="A dNSName; repeatable.")
]
SanUri = Annotated[
    list[str] | None, typer.Option("--san-uri", metavar="URI", help="A URI; repeatable.")
]
SanIp = Annotated[
    list[str] | None, typer.Option("--san-ip", metavar="ADDRESS", help="An IP address; repeatable.")
]
SanEmail = Annotated[
    list[str] | None, typer.Option("--san-email", metavar="ADDRESS", help="An e-mail; repeatable.")
]
Days = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=36_500, help="Lifetime; default: 90 days.")
]
Hours = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=876_000, help="Lifetime, instead of days.")
]
SelfSigned = Annotated[
    bool, typer.Option("--self-signed", help="Sign it with its own key, not with the CA.")
]
Server = Annotated[
    bool, typer.Option("--server", help="For a TLS server; without it, for a TLS client.")
]
KeyType = Annotated[str, typer.Option(metavar="ec|rsa", help="ec (P-256) or rsa (2048).")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where to put the files; default: certs/.")
]


@verb(commands, "init")
def init(session: Session) -> Page:
    """Make certs/ca.crt and certs/ca.key."""
    issued = authority.init(authority.directory(session.settings))
    page = _made(issued, "development CA")
    page.warn("for development only", "whoever reads ca.key can issue any certificate")
    page.command(
        "trust it", *session.certbound("trust", "add", "default", str(shown(issued.certificate)))
    )
    return page


@verb(commands, "issue")
def issue(
    session: Session,
    name: Name,
    *,
    dn: Dn = None,
    san_dns: SanDns = None,
    san_uri: SanUri = None,
    san_ip: SanIp = None,
    san_email: SanEmail = None,
    days: Days = None,
    hours: Hours = None,
    self_signed: SelfSigned = False,
    server: Server = False,
    key_type: KeyType = "ec",
    out: Out = None,
) -> Page:
    """Make a certificate and its private key (mode 0600). Nothing is ever overwritten."""
    if key_type not in ("ec", "rsa"):
        raise typer.BadParameter("must be ec or rsa", param_hint="--key-type")
    wanted = Request(
        dn=dn,
        san_dns=san_dns or (),
        san_uri=san_uri or (),
        san_ip=san_ip or (),
        san_email=san_email or (),
        days=days,
        hours=hours,
        self_signed=self_signed,
        key_type="rsa" if key_type == "rsa" else "ec",
        server=server,
    )
    folder = authority.directory(session.settings)
    issued = authority.issue(folder, name, wanted, out)
    page = _made(issued, "self-signed certificate" if self_signed else "certificate")
    if not server:
        method = ("--method", "self_signed_tls_client_auth") if self_signed else ()
        file = str(shown(issued.certificate))
        page.command(
            "register a client with it",
            *session.certbound("client", "add", name, *method, "--cert", file, *_scope(session)),
        )
    return page


def _scope(session: Session) -> tuple[str, ...]:
    """The scope that quickstart registers, where the default resource has it."""
    settings = session.settings
    try:
        with desk_of(session) as desk:
            known = {row.url: row.scopes for row in resources.listed(desk)}
    except (Problem, StoreUnavailable):  # a CA needs no database
        return ()
    return ("--scope", SCOPE) if SCOPE in known.get(settings.default_resource, ()) else ()


def _made(issued: Issued, label: str) -> Page:
    facts = authority.facts_of(issued.certificate)
    page = Page(
        {
            "certificate": str(issued.certificate),
            "key": str(issued.key),
            "subject": facts.subject,
            "sans": list(facts.sans),
            "x5t#S256": facts.thumbprint,
            "not_after": facts.not_after,
        }
    )
    page.ok(
        label,
        shown(issued.certificate),
        subject=facts.subject,
        names=", ".join(facts.sans),
        ends=until(facts.not_after),
        thumbprint=facts.thumbprint,
    )
    page.ok("private key", f"{shown(issued.key)} (mode 0600)")
    return page
