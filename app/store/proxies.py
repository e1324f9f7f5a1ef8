"""Proxies that end TLS in front of a resource and are believed. Changed inside `registry.change`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, delete, select

from app.store.engine import insert_if_absent
from app.store.tables import proxies

Header = Literal["rfc9440", "nginx"]
"""How it forwards a certificate: ``Client-Cert`` (RFC 9440), or nginx's escaped PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRow:
    """One proxy, known by its very certificate."""

    name: str
    thumbprint: str
    subject: str
    not_after: int
    header: Header
    resources: tuple[str, ...]
    created_at: int


def add(conn: Connection, proxy: ProxyRow) -> bool:
    """Believe this proxy; False when its name or its certificate is registered already."""
    return insert_if_absent(conn, proxies, asdict(proxy))


def listed(conn: Connection) -> Sequence[ProxyRow]:
    """Every proxy, by name."""
    rows = conn.execute(select(proxies).order_by(proxies.c.name)).mappings()
    return [ProxyRow(**{**row, "resources": tuple(row["resources"])}) for row in rows]


def remove(conn: Connection, name: str) -> bool:
    """Believe it no longer; False when unknown."""
    return conn.execute(delete(proxies).where(proxies.c.name == name)).rowcount == 1
