"""Protected resources: which URLs tokens may be made for (RFC 8707)."""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from app import clock
from app.admin.client_checks import Labels
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.scopes import checked_scopes
from app.audit import ResourceAdded, ResourceRemoved
from app.store import audit, registry, resources
from app.store.resources import ResourceRow

MAX_URL = 2048


def add(
    desk: Desk,
    url: str,
    scopes: Sequence[str],
    require: Literal["mtls", "any"] = "mtls",
    labels: Labels | None = None,
) -> bool:
    """Register the resource, or replace its scopes and requirement; True when it is new.

    Labels that are given are set, the others stay.

    Raises:
        Problem: the URL, a scope or a label is malformed.

    """
    given = labels.given() if labels is not None else {}
    now = clock.now()
    row = ResourceRow(
        url=checked_url(url),
        created_at=now,
        updated_at=now,
        scopes=checked_scopes(scopes),
        require=require,
    )
    with registry.change(desk.db) as conn:
        created = resources.put(conn, row)
        if given:
            resources.label(conn, row.url, now, **given)
        audit.append_admin(
            conn,
            ResourceAdded(
                actor=desk.actor,
                resource=row.url,
                details={
                    "scopes": list(row.scopes),
                    "require": require,
                    "created": created,
                    **given,
                },
            ),
        )
    return created


def remove(desk: Desk, url: str) -> None:
    """No further token is made for it; clients keep its name in their list.

    Raises:
        Problem: it is not registered.

    """
    with registry.change(desk.db) as conn:
        if not resources.remove(conn, url):
            raise Problem(
                "this resource is not registered",
                seen=url,
                expected="a registered resource, character by character",
                action="certbound resource list",
            )
        audit.append_admin(conn, ResourceRemoved(actor=desk.actor, resource=url))


def listed(desk: Desk) -> Sequence[ResourceRow]:
    """Every resource, by URL."""
    with desk.db.read() as conn:
        return resources.listed(conn)


def checked_url(url: str) -> str:
    """`url` itself, if it may be a resource: absolute, without fragment (RFC 8707 section 2).

    Raises:
        Problem: it may not.

    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme) and bool(parts.netloc or parts.path)
    except ValueError:
        usable = False
    printable = all("!" <= character <= "~" for character in url)
    if not usable or not printable or "#" in url or len(url) > MAX_URL:
        raise Problem(
            "this is no resource",
            seen=url[:200],
            expected="an absolute URI in printable ASCII without a fragment, such as "
            "https://api.example.com",
        )
    return url
