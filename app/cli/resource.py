"""``certbound resource``: the URLs tokens may be made for (RFC 8707)."""

from typing import Annotated, Any

import typer

from app.admin import clients, proxies, resources
from app.admin.resources import Rules
from app.admin.sight import sees
from app.cli.client_options import LabelOptions
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.store.resources import ResourceRow

commands = group("Protected resources: the URLs that tokens may be made for (RFC 8707).")

Url = Annotated[
    str, typer.Argument(metavar="URL", help="Absolute URI; becomes aud, character by character.")
]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="A scope the resource knows; repeatable."),
]
Require = Annotated[
    str | None,
    typer.Option(
        metavar="mtls|any",
        help="mtls: it takes certificate-bound tokens only; any: others too. Default: mtls.",
    ),
]
MaxLifetime = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS", help="How long its tokens live at most; 0: as the server says."
    ),
]
TrustSets = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="NAME",
        help="A trust set that must vouch for the client's certificate; repeatable. Empty: any.",
    ),
]
DirectOnly = Annotated[
    bool | None,
    typer.Option(
        "--direct-only/--behind-proxies",
        help="Whether the client's TLS must end at this server when it asks for a token.",
        show_default=False,
    ),
]


@verb(commands, "add")
def add(
    session: Session,
    url: Url,
    scope: Scopes = None,
    require: Require = None,
    *,
    max_lifetime: MaxLifetime = None,
    trust: TrustSets = None,
    direct_only: DirectOnly = None,
    labelled: LabelOptions,
) -> Page:
    """Register a resource, or change one: scopes, rules and labels not given stay."""
    if require not in ("mtls", "any", None):
        raise typer.BadParameter("must be mtls or any", param_hint="--require")
    rules = Rules(
        None if require is None else "mtls" if require == "mtls" else "any",
        max_lifetime,
        None if trust is None else [name for name in trust if name],
        direct_only,
    )
    with desk_of(session) as desk:
        created = resources.add(desk, url, scope, rules, labelled.labels())
        row = resources.shown(desk, url)
    page = Page({"resource": url, "created": created, **_members(row)})
    texts = _texts(row) | ({} if row.require == "any" else {"require": ""})
    page.ok("resource added" if created else "resource changed", url, **texts)
    return page


@verb(commands, "list")
def list_resources(session: Session) -> Page:
    """Show every resource and its scopes; the default one is marked."""
    with desk_of(session) as desk:
        rows = resources.listed(desk)
        default = desk.settings.default_resource
    page = Page({"default_resource": default, "resources": [_members(row) for row in rows]})
    for row in rows:
        is_default = "yes: used where a request names none" if row.url == default else ""
        page.fact(row.url, **{**_texts(row), "default": is_default})
    if not any(row.url == default for row in rows):
        page.warn("default resource", f"{default} is not registered")
        page.command("register it", *session.certbound("resource", "add", default))
    return page


@verb(commands, "show")
def show(session: Session, url: Url) -> Page:
    """Show one resource, the rules for its tokens, and who may look at these."""
    with desk_of(session) as desk:
        row = resources.shown(desk, url)
        watching = [one.client_id for one in clients.listed(desk) if sees(one, url)]
        in_front = [one.name for one in proxies.listed(desk) if url in one.resources]
        lifetime = desk.settings.access_token_lifetime
    longest = min(row.max_lifetime or lifetime, lifetime)
    page = Page({**_members(row), "introspected_by": watching, "proxies": in_front})
    texts = {**_texts(row), "tokens live": ""}  # said below, with the server's own bound
    page.ok("resource", url, **texts)
    page.fact("its tokens live", f"{longest} seconds at most")
    page.fact("its tokens may be looked at by", ", ".join(watching) or "the clients they are for")
    if in_front:
        page.fact("stands behind", f"proxy {', '.join(in_front)}")
    return page


@verb(commands, "remove")
def remove(session: Session, url: Url) -> Page:
    """Make no further token for a resource."""
    with desk_of(session) as desk:
        resources.remove(desk, url)
        default = desk.settings.default_resource
    page = Page({"removed": url})
    page.ok("resource removed", url)
    if url == default:
        page.warn("default resource", "requests that name no resource are refused from now on")
    return page


def _members(row: ResourceRow) -> dict[str, Any]:
    return {
        "url": row.url,
        "scopes": list(row.scopes),
        "require": row.require,
        "max_lifetime": row.max_lifetime,
        "trust_sets": list(row.trust_sets),
        "direct_only": row.termination == "direct",
        **_labels(row),
    }


def _texts(row: ResourceRow) -> dict[str, str]:
    """The same for people; what is empty is not shown."""
    return {
        "scopes": " ".join(row.scopes) or "none",
        "require": row.require,
        "tokens live": "" if row.max_lifetime is None else f"{row.max_lifetime} seconds at most",
        "certificates": f"from trust set {' or '.join(row.trust_sets)}" if row.trust_sets else "",
        "connections": "straight to this server" if row.termination == "direct" else "",
        **_labels(row),
    }


def _labels(row: ResourceRow) -> dict[str, str]:
    return {"tenant": row.tenant, "risk": row.risk, "resource_class": row.resource_class}
