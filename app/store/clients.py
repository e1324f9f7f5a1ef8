"""Clients, as registered. Whoever adds or changes one does so inside `registry.change`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, RowMapping, delete, select, update

from app.store.engine import insert_if_absent
from app.store.tables import (
    certificate_days,
    certificate_resources,
    certificate_uses,
    clients,
    expiry_notices,
    key_holders,
)

_OF_A_CLIENT = (certificate_uses, certificate_days, certificate_resources, expiry_notices)
"""What is known of a client without a foreign key, and goes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRow:
    """One client. The subject members are set for ``tls_client_auth`` only."""

    client_id: str
    auth_method: str
    created_at: int
    updated_at: int
    subject_attribute: str | None = None
    subject_value: bytes | None = None
    subject_text: str | None = None
    collision_key: str | None = None
    jwks_uri: str | None = None
    grants: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    trust_sets: tuple[str, ...] = ()
    disabled_at: int | None = None
    tenant: str = ""
    risk: str = ""
    resource_class: str = ""
    spiffe_id: str | None = None
    introspection: Literal["own", "all"] = "own"
    serves: tuple[str, ...] = ()


def add(conn: Connection, client: ClientRow) -> bool:
    """Register a client; False, and nothing changed, when the identifier is taken."""
    return insert_if_absent(conn, clients, asdict(client))


def find(conn: Connection, client_id: str) -> ClientRow | None:
    """The client of this identifier, compared byte for byte."""
    query = select(clients).where(clients.c.client_id == client_id)
    row = conn.execute(query).mappings().one_or_none()
    return _client(row) if row else None


def listed(conn: Connection) -> Sequence[ClientRow]:
    """Every client, by identifier."""
    rows = conn.execute(select(clients).order_by(clients.c.client_id)).mappings()
    return [_client(row) for row in rows]


def clients_with_collision_key(conn: Connection, attribute: str, key: str) -> Sequence[ClientRow]:
    """The clients whose registered subject looks like this one."""
    query = select(clients).where(
        clients.c.subject_attribute == attribute, clients.c.collision_key == key
    )
    rows = conn.execute(query.order_by(clients.c.client_id)).mappings()
    return [_client(row) for row in rows]


def disable(conn: Connection, client_id: str, at: int) -> bool:
    """From this commit on the client gets nothing; False when unknown or disabled already."""
    query = update(clients).where(clients.c.client_id == client_id, clients.c.disabled_at.is_(None))
    return conn.execute(query.values(disabled_at=at, updated_at=at)).rowcount == 1


def enable(conn: Connection, client_id: str, at: int) -> bool:
    """The client may authenticate again; False when unknown or not disabled."""
    query = update(clients).where(
        clients.c.client_id == client_id, clients.c.disabled_at.is_not(None)
    )
    return conn.execute(query.values(disabled_at=None, updated_at=at)).rowcount == 1


def label(
    conn: Connection,
    client_id: str,
    at: int,
    *,
    tenant: str | None = None,
    risk: str | None = None,
    resource_class: str | None = None,
) -> bool:
    """Give the client these labels, the others stay; False when it is unknown.

    The keys it holds move to the new tenant with it.
    """
    given = {"tenant": tenant, "risk": risk, "resource_class": resource_class}
    labels = {name: value for name, value in given.items() if value is not None}
    if not _set(conn, client_id, at, labels):
        return False
    if tenant is not None:
        held = update(key_holders).where(key_holders.c.client_id == client_id)
        conn.execute(held.values(tenant=tenant))
    return True


def set_trust_sets(conn: Connection, client_id: str, names: Sequence[str], at: int) -> bool:
    """From this commit on only these sets may vouch for the client; False when it is unknown.

    Whether sets of these names exist is the caller's business: a missing one vouches for nobody.
    """
    return _set(conn, client_id, at, {"trust_sets": list(names)})


def set_sight(
    conn: Connection,
    client_id: str,
    at: int,
    *,
    introspection: Literal["own", "all"],
    serves: Sequence[str],
) -> bool:
    """Which tokens the client may look at from this commit on; False when it is unknown."""
    values = {"introspection": introspection, "serves": list(serves)}
    return _set(conn, client_id, at, values)


def set_spiffe_id(conn: Connection, client_id: str, spiffe_id: str | None, at: int) -> bool:
    """The client is known by this SPIFFE ID, or no longer by one; False when it is unknown."""
    return _set(conn, client_id, at, {"spiffe_id": spiffe_id})


def set_name(conn: Connection, client: ClientRow) -> bool:
    """The client is recognised by the subject and SPIFFE ID of this row; False when it is unknown."""
    names = (
        "subject_attribute",
        "subject_value",
        "subject_text",
        "collision_key",
        "spiffe_id",
    )
    values = {name: getattr(client, name) for name in names}
    return _set(conn, client.client_id, client.updated_at, values)


def remove(conn: Connection, client_id: str) -> bool:
    """Remove the client, its credentials, the keys it holds and what was learned of its uses.

    Its token rows and audit entries stay. False when it is unknown.
    """
    for table in _OF_A_CLIENT:
        conn.execute(delete(table).where(table.c.client_id == client_id))
    return conn.execute(delete(clients).where(clients.c.client_id == client_id)).rowcount == 1


def _set(conn: Connection, client_id: str, at: int, values: Mapping[str, object]) -> bool:
    query = update(clients).where(clients.c.client_id == client_id)
    return conn.execute(query.values({**values, "updated_at": at})).rowcount == 1


def _client(row: RowMapping) -> ClientRow:
    names = ("grants", "scopes", "resources", "trust_sets", "serves")
    lists = {name: tuple(row[name]) for name in names}
    return ClientRow(**{**row, **lists})
