"""``certbound client``: who may ask for tokens."""

from pathlib import Path
from typing import Annotated

import typer

from app.admin import clients, identity
from app.admin.clients import Wishes
from app.admin.first_try import first_try
from app.admin.identity import Identity
from app.admin.usage import last_used
from app.cli import client_cert, client_pages
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.clients.methods import METHODS, self_signed_tls_client_auth, tls_client_auth

commands = group("Clients: who may ask for tokens, and how each proves itself.")
commands.add_typer(client_cert.commands, name="cert")

ClientId = Annotated[
    str, typer.Argument(metavar="ID", help="client_id: letters, digits and . _ : / @ + -")
]
Method = Annotated[
    str, typer.Option(metavar="METHOD", help=f"How it proves itself: {' or '.join(METHODS)}.")
]
Cert = Annotated[
    list[Path] | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        help="tls_client_auth: take the narrowest name of this certificate. "
        "self_signed_tls_client_auth: register this very certificate; repeatable.",
    ),
]
SubjectDn = Annotated[
    str | None,
    typer.Option("--subject-dn", metavar="DN", help="The certificate's subject, RFC 4514."),
]
SanDns = Annotated[str | None, typer.Option("--san-dns", metavar="NAME", help="A dNSName.")]
SanUri = Annotated[str | None, typer.Option("--san-uri", metavar="URI", help="A URI.")]
SanIp = Annotated[str | None, typer.Option("--san-ip", metavar="ADDRESS", help="An IP address.")]
SanEmail = Annotated[str | None, typer.Option("--san-email", metavar="ADDRESS", help="An e-mail.")]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A public key: any certificate it signs over itself is accepted."
    ),
]
Jwks = Annotated[Path | None, typer.Option("--jwks", metavar="FILE", help="A JWK Set.")]
JwksUri = Annotated[
    str | None, typer.Option("--jwks-uri", metavar="URL", help="Where it publishes its JWK Set.")
]
Scope = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="A scope it may have; repeatable."),
]
Resource = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="URL",
        help="A resource it may name; repeatable. Default: the default resource alone.",
    ),
]
Grant = Annotated[
    list[str] | None,
    typer.Option(
        "--grant", metavar="GRANT", help="A grant it may use; default: client_credentials."
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", metavar="NAME", help="A trust set that may vouch for it; default: default."
    ),
]


@verb(commands, "add")
def add(
    session: Session,
    client_id: ClientId,
    *,
    method: Method = tls_client_auth.NAME,
    cert: Cert = None,
    subject_dn: SubjectDn = None,
    san_dns: SanDns = None,
    san_uri: SanUri = None,
    san_ip: SanIp = None,
    san_email: SanEmail = None,
    public_key: PublicKey = None,
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    scope: Scope = None,
    resource: Resource = None,
    grant: Grant = None,
    trust: Trust = None,
) -> Page:
    """Register a client by exactly one way to recognise it."""
    subjects = {
        "subject_dn": subject_dn,
        "san_dns": san_dns,
        "san_uri": san_uri,
        "san_ip": san_ip,
        "san_email": san_email,
    }
    chosen = [(name, text) for name, text in subjects.items() if text is not None]
    if method == tls_client_auth.NAME:
        _refuse(method, public_key=public_key, jwks=jwks, jwks_uri=jwks_uri)
        who = _pki(client_id, cert or [], chosen)
    elif method == self_signed_tls_client_auth.NAME:
        _refuse(method, **dict(chosen))
        who = _own(cert or [], public_key, jwks, jwks_uri)
    else:
        raise typer.BadParameter(f"must be {' or '.join(METHODS)}", param_hint="--method")
    wishes = Wishes(grant or (), scope or (), resource or (), trust or ())
    with desk_of(session) as desk:
        added = clients.add(desk, client_id, who, wishes)
        default = desk.settings.default_resource
        doubts = first_try(desk, client_id, cert[0]) if cert else ()
    file = cert[0] if cert else None
    return client_pages.added(session, added, who, default, file, doubts=doubts)


def _pki(client_id: str, cert: list[Path], chosen: list[tuple[str, str]]) -> Identity:
    if len(cert) + len(chosen) != 1:
        raise typer.BadParameter(
            "give exactly one of --cert FILE, --subject-dn, --san-dns, --san-uri, --san-ip, "
            "--san-email (RFC 8705 section 2.1.2)",
            param_hint=tls_client_auth.NAME,
        )
    if cert:
        return identity.by_certificate_name(cert[0], client_id)
    [(attribute, text)] = chosen
    return identity.by_subject(attribute, text)


def _own(
    cert: list[Path], public_key: Path | None, jwks: Path | None, jwks_uri: str | None
) -> Identity:
    ways = [bool(cert), public_key is not None, jwks is not None, jwks_uri is not None]
    if sum(ways) != 1:
        raise typer.BadParameter(
            "give exactly one of --cert FILE (repeatable), --public-key FILE, --jwks FILE, "
            "--jwks-uri URL",
            param_hint=self_signed_tls_client_auth.NAME,
        )
    if public_key is not None:
        return identity.by_public_key(public_key)
    if jwks is not None:
        return identity.by_jwks(jwks)
    if jwks_uri is not None:
        return identity.by_jwks_uri(jwks_uri)
    return identity.by_certificates(cert)


def _refuse(method: str, **others: object) -> None:
    for name, value in others.items():
        if value is not None:
            raise typer.BadParameter(
                f"has no meaning with {method}", param_hint=f"--{name.replace('_', '-')}"
            )


@verb(commands, "list")
def list_clients(session: Session) -> Page:
    """Show every client in one line each."""
    with desk_of(session) as desk:
        return client_pages.overview(session, clients.listed(desk))


@verb(commands, "show")
def show(session: Session, client_id: ClientId) -> Page:
    """Show everything that is known of a client, and the certificates it used last."""
    with desk_of(session) as desk:
        row, credentials = clients.shown(desk, client_id)
        used = last_used(desk, client_id)
    return client_pages.details(session, row, credentials, used)


@verb(commands, "disable")
def disable(session: Session, client_id: ClientId) -> Page:
    """Let a client have no further token; when this returns, no process issues one."""
    with desk_of(session) as desk:
        changed = clients.disable(desk, client_id)
        lifetime = desk.settings.access_token_lifetime
    page = Page({"client_id": client_id, "disabled": True, "changed": changed})
    page.ok("client disabled" if changed else "client was disabled already", client_id)
    page.fact("tokens it has", f"run out within {lifetime} seconds")
    return page


@verb(commands, "enable")
def enable(session: Session, client_id: ClientId) -> Page:
    """Let a disabled client authenticate again."""
    with desk_of(session) as desk:
        changed = clients.enable(desk, client_id)
    page = Page({"client_id": client_id, "disabled": False, "changed": changed})
    page.ok("client enabled" if changed else "client was enabled already", client_id)
    return page


@verb(commands, "remove")
def remove(session: Session, client_id: ClientId) -> Page:
    """Forget a client and its certificates. Its audit entries stay."""
    with desk_of(session) as desk:
        clients.remove(desk, client_id)
        lifetime = desk.settings.access_token_lifetime
    page = Page({"removed": client_id})
    page.ok("client removed", client_id)
    page.fact("tokens it has", f"run out within {lifetime} seconds")
    return page
