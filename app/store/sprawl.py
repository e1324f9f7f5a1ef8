"""Certificates and keys in more hands than one, and certificates that open many doors.

What counts: what registered clients registered and did not retire, and what they were seen with.
For the doors a table of its own is kept (`certificate_resources`): unexpired tokens show the last
minutes only, and the audit is too long to count. The journal adds a row at a certificate's first
token for a resource; later ones find it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, func, select, union

from app.store.tables import certificate_resources, certificate_uses, clients, credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A certificate or key of several clients."""

    digest: str
    """A certificate's thumbprint, a key's `spki_sha256`."""
    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide:
    """A certificate with which one client got tokens for many resources."""

    client_id: str
    thumbprint: str
    resources: tuple[str, ...]


def shared_certificates(conn: Connection) -> Sequence[Shared]:
    """Certificates that several clients registered or used, by thumbprint."""
    return _shared(conn, "thumbprint")


def shared_keys(conn: Connection) -> Sequence[Shared]:
    """Keys that several clients registered or used, in one certificate or in several; by digest."""
    return _shared(conn, "spki_sha256")


def wide(conn: Connection, more_than: int) -> Sequence[Wide]:
    """Certificates with which one client got tokens for more than so many resources."""
    served = certificate_resources.c
    pair = (served.client_id, served.thumbprint)
    many = select(*pair).group_by(*pair).having(func.count() > more_than).subquery()
    query = select(*pair, served.resource).join(
        many,
        (many.c.client_id == served.client_id) & (many.c.thumbprint == served.thumbprint),
    )
    found: dict[tuple[str, str], list[str]] = {}
    for client_id, thumbprint, resource in conn.execute(query.order_by(*pair, served.resource)):
        found.setdefault((client_id, thumbprint), []).append(resource)
    return [
        Wide(client_id=client_id, thumbprint=thumbprint, resources=tuple(resources))
        for (client_id, thumbprint), resources in found.items()
    ]


def _shared(conn: Connection, column: str) -> Sequence[Shared]:
    held = union(_registered(column), _seen(column)).subquery()
    several = select(held.c.digest).group_by(held.c.digest).having(func.count() > 1)
    query = select(held).where(held.c.digest.in_(several))
    found: dict[str, list[str]] = {}
    for digest, client_id in conn.execute(query.order_by(held.c.digest, held.c.client_id)):
        found.setdefault(digest, []).append(client_id)
    return [Shared(digest=digest, clients=tuple(names)) for digest, names in found.items()]


def _registered(column: str) -> Select[tuple[str, str]]:
    digest = credentials.c[column]
    query = select(digest.label("digest"), credentials.c.client_id)
    return query.where(digest.is_not(None), credentials.c.state == "active")


def _seen(column: str) -> Select[tuple[str, str]]:
    query = select(certificate_uses.c[column].label("digest"), certificate_uses.c.client_id)
    return query.join(clients, clients.c.client_id == certificate_uses.c.client_id)
