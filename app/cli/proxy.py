"""``certbound proxy``: proxies that end TLS in front of a resource and are believed."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from app import clock
from app.admin import proxies
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.store.proxies import Header, ProxyRow

commands = group("Proxies in front of resources: whose word on a client's certificate counts.")

HEADERS: tuple[Header, ...] = get_args(Header)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As the audit will name it.")]
File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The certificate the proxy presents here, PEM or DER."),
]
Forwards = Annotated[
    str,
    typer.Option(
        "--header",
        metavar="|".join(HEADERS),
        help="How it forwards a client's certificate: Client-Cert, or nginx's escaped PEM.",
    ),
]
Resource = Annotated[
    list[str],
    typer.Option("--resource", metavar="URL", help="A resource it stands in front of; repeatable."),
]


@verb(commands, "add")
def add(
    session: Session, name: Name, file: File, *, resource: Resource, header: Forwards = "rfc9440"
) -> Page:
    """Believe what the holder of this very certificate forwards, for these resources."""
    chosen = next((known for known in HEADERS if known == header), None)
    if chosen is None:
        raise typer.BadParameter(f"must be {' or '.join(HEADERS)}", param_hint="--header")
    with desk_of(session) as desk:
        row = proxies.add(desk, name, file, chosen, resource)
    page = Page({"proxy": _members(row)})
    page.ok("proxy added", name, **_texts(row))
    return page


@verb(commands, "list")
def list_proxies(session: Session) -> Page:
    """Show every proxy, its certificate, and what it stands in front of."""
    with desk_of(session) as desk:
        rows = proxies.listed(desk)
    page = Page({"proxies": [_members(row) for row in rows]})
    for row in rows:
        line = page.fact if row.not_after > clock.now() else page.bad
        line(row.name, **_texts(row))
    if not rows:
        page.fact("no proxies", "every connection is the client's own")
    return page


@verb(commands, "remove")
def remove(session: Session, name: Name) -> Page:
    """Believe a proxy no longer; it counts from the next request on."""
    with desk_of(session) as desk:
        row = proxies.remove(desk, name)
    page = Page({"removed": name})
    page.ok("proxy removed", name, certificate=row.thumbprint)
    return page


def _members(row: ProxyRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "x5t#S256": row.thumbprint,
        "subject": row.subject,
        "not_after": row.not_after,
        "header": row.header,
        "resources": list(row.resources),
        "created_at": row.created_at,
    }


def _texts(row: ProxyRow) -> dict[str, str]:
    return {
        "certificate": row.thumbprint,
        "subject": row.subject,
        "ends": until(row.not_after),
        "header": row.header,
        "in_front_of": " ".join(row.resources),
    }
