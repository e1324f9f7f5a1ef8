"""Protected resources (RFC 8707) that tokens may be made for. Changed inside `registry.change`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, delete, select, update

from app.store.engine import insert_if_absent
from app.store.tables import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRow:
    """One resource; `require` says whether it takes certificate-bound tokens only."""

    url: str
    created_at: int
    updated_at: int
    scopes: tuple[str, ...] = ()
    require: Literal["mtls", "any"] = "mtls"
    tenant: str = ""
    risk: str = ""
    resource_class: str = ""
    max_lifetime: int | None = None
    """Seconds; None: the server's."""
    trust_sets: tuple[str, ...] = ()
    """Which sets must vouch for the certificate a token is bound to; empty: any."""
    termination: Literal["any", "direct"] = "any"
    """``direct``: the client's TLS must end at the server itself."""


def put(conn: Connection, resource: ResourceRow) -> bool:
    """Register the resource, or replace its scopes and rules. True when it is new.

    One that is known keeps its labels: `label` changes them.
    """
    if insert_if_absent(conn, resources, asdict(resource)):
        return True
    values = {
        "scopes": resource.scopes,
        "require": resource.require,
        "max_lifetime": resource.max_lifetime,
        "trust_sets": resource.trust_sets,
        "termination": resource.termination,
        "updated_at": resource.updated_at,
    }
    conn.execute(update(resources).where(resources.c.url == resource.url).values(values))
    return False


def label(
    conn: Connection,
    url: str,
    at: int,
    *,
    tenant: str | None = None,
    risk: str | None = None,
    resource_class: str | None = None,
) -> bool:
    """Give the resource these labels, the others stay; False when it is unknown."""
    given = {"tenant": tenant, "risk": risk, "resource_class": resource_class}
    labels = {name: value for name, value in given.items() if value is not None}
    query = update(resources).where(resources.c.url == url)
    return conn.execute(query.values(**labels, updated_at=at)).rowcount == 1


def listed(conn: Connection) -> Sequence[ResourceRow]:
    """Every resource, by URL."""
    rows = conn.execute(select(resources).order_by(resources.c.url)).mappings()
    return [
        ResourceRow(
            **{**row, "scopes": tuple(row["scopes"]), "trust_sets": tuple(row["trust_sets"])}
        )
        for row in rows
    ]


def remove(conn: Connection, url: str) -> bool:
    """No further token is made for it; False when unknown."""
    return conn.execute(delete(resources).where(resources.c.url == url)).rowcount == 1
