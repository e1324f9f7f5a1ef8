"""``certbound resource``: the URLs tokens may be made for (RFC 8707)."""

from typing import Annotated, Any

import typer

from app.admin import resources
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
    str,
    typer.Option(
        metavar="mtls|any", help="mtls: it takes certificate-bound tokens only; any: others too."
    ),
]


@verb(commands, "add")
def add(
    session: Session,
    url: Url,
    scope: Scopes = None,
    require: Require = "mtls",
    *,
    labelled: LabelOptions,
) -> Page:
    """Register a resource, or replace the scopes of one; labels not given stay."""
    if require not in ("mtls", "any"):
        raise typer.BadParameter("must be mtls or any", param_hint="--require")
    with desk_of(session) as desk:
        created = resources.add(
            desk,
            url,
            scope or (),
            "mtls" if require == "mtls" else "any",
            labelled.labels(),
        )
        row = next(one for one in resources.listed(desk) if one.url == url)
    labels = _labels(row)
    page = Page(
        {
            "resource": url,
            "scopes": scope or [],
            "require": require,
            "created": created,
            **labels,
        }
    )
    page.ok(
        "resource added" if created else "resource replaced",
        url,
        scopes=" ".join(scope or ()),
        **labels,
    )
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
        page.fact(
            row.url,
            scopes=" ".join(row.scopes) or "none",
            require=row.require,
            default=is_default,
            **_labels(row),
        )
    if not any(row.url == default for row in rows):
        page.warn("default resource", f"{default} is not registered")
        page.command("register it", *session.certbound("resource", "add", default))
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
        **_labels(row),
    }


def _labels(row: ResourceRow) -> dict[str, str]:
    return {"tenant": row.tenant, "risk": row.risk, "resource_class": row.resource_class}
