"""``certbound client``: who may ask for tokens."""

from pathlib import Path

import typer

from app.admin import clients, identity
from app.admin.clients import Sight, Wishes
from app.admin.first_try import first_try
from app.admin.identity import Identity
from app.admin.life_cycle import life_cycle
from app.admin.revoked_known import revoking_sets
from app.cli import client_cert, client_changes, client_pages
from app.cli.certificate_pages import add_revoked
from app.cli.client_options import (
    Cert,
    ClientId,
    Grant,
    IntrospectAll,
    Jwks,
    JwksUri,
    KeepingOptions,
    LabelOptions,
    Method,
    NameOptions,
    PublicKey,
    Resource,
    Scope,
    Serves,
    Trust,
)
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.tail import add_tail
from app.cli.verb import group, verb
from app.clients.methods import METHODS, self_signed_tls_client_auth, tls_client_auth

commands = group("Clients: who may ask for tokens, and how each proves itself.")
commands.add_typer(client_cert.commands, name="cert")


@verb(commands, "add")
def add(
    session: Session,
    client_id: ClientId,
    *,
    method: Method = tls_client_auth.NAME,
    cert: Cert = None,
    named: NameOptions,
    public_key: PublicKey = None,
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    scope: Scope = None,
    resource: Resource = None,
    grant: Grant = None,
    serves: Serves = None,
    introspect_all: IntrospectAll = False,
    trust: Trust = None,
    labelled: LabelOptions,
    kept: KeepingOptions,
) -> Page:
    """Register a client by exactly one way to recognise it."""
    if method == tls_client_auth.NAME:
        _refuse(method, public_key=public_key, jwks=jwks, jwks_uri=jwks_uri)
        who = named.identity(client_id, cert or [])
    elif method == self_signed_tls_client_auth.NAME:
        _refuse(method, **named.given())
        who = _own(cert or [], public_key, jwks, jwks_uri)
    else:
        raise typer.BadParameter(f"must be {' or '.join(METHODS)}", param_hint="--method")
    wishes = Wishes(grant or (), scope or (), resource or (), trust or ())
    sight = Sight(serves or (), introspect_all)
    with desk_of(session) as desk:
        added = clients.add(
            desk,
            client_id,
            who,
            wishes,
            labelled.labels(),
            sight=sight,
            keeping=kept.keeping(),
        )
        default = desk.settings.default_resource
        doubts = first_try(desk, client_id, cert[0]) if cert else ()
        revoked = revoking_sets(desk, who.credentials)
    file = cert[0] if cert else None
    page = client_pages.added(session, added, who, default, file, doubts=doubts)
    add_revoked(page, revoked)
    return page


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
        return client_pages.overview(session, clients.listed(desk), clients.denied_of(desk))


@verb(commands, "show")
def show(session: Session, client_id: ClientId) -> Page:
    """Show everything about a client: which certificates it used, how long they last, when replaced."""
    with desk_of(session) as desk:
        return client_pages.details(session, life_cycle(desk, client_id))


@verb(commands, "disable")
def disable(session: Session, client_id: ClientId) -> Page:
    """Let a client have no further token, and revoke those it has; when this returns, it is so."""
    with desk_of(session) as desk:
        done = clients.disable(desk, client_id)
        ttl = desk.settings.status_list_ttl
    page = Page({"client_id": client_id, "disabled": True, "changed": done.changed})
    page.ok("client disabled" if done.changed else "client was disabled already", client_id)
    add_tail(page, done.tokens, ttl)
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
    """Forget a client and its certificates, and revoke its tokens. Its audit entries stay."""
    with desk_of(session) as desk:
        tokens = clients.remove(desk, client_id)
        ttl = desk.settings.status_list_ttl
    page = Page({"removed": client_id})
    page.ok("client removed", client_id)
    add_tail(page, tokens, ttl)
    return page


verb(commands, "trust")(client_changes.trust)
verb(commands, "label")(client_changes.label)
verb(commands, "sight")(client_changes.sight)
verb(commands, "match")(client_changes.match)
verb(commands, "rehearse")(client_changes.rehearse)
