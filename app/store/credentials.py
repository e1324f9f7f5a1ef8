"""The certificates and keys that clients registered. Changed inside `registry.change` only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, select, update

from app.store.engine import insert_if_absent
from app.store.tables import credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRow:
    """A certificate (compared as whole DER) or a key (any certificate it signed over itself)."""

    client_id: str
    kind: Literal["certificate", "key"]
    spki_sha256: str
    spki_der: bytes
    created_at: int
    thumbprint: str | None = None
    der: bytes | None = None
    subject: str | None = None
    not_before: int | None = None
    not_after: int | None = None
    state: Literal["active", "retired"] = "active"
    activate_at: int | None = None
    retired_at: int | None = None
    source: Literal["registered", "jwks"] = "registered"
    id: int | None = None
    """Given by the database; None before."""


def add(conn: Connection, credential: CredentialRow) -> bool:
    """Register it; False when this client has the same certificate (or key) already, even retired.

    Raises `sqlalchemy.exc.IntegrityError` for an unknown client.
    """
    values = asdict(credential)
    del values["id"]
    return insert_if_absent(conn, credentials, values)


def of_client(conn: Connection, client_id: str) -> Sequence[CredentialRow]:
    """The client's certificates and keys, oldest first, retired ones too."""
    query = select(credentials).where(credentials.c.client_id == client_id)
    rows = conn.execute(query.order_by(credentials.c.id)).mappings()
    return [CredentialRow(**row) for row in rows]


def listed(conn: Connection) -> Sequence[CredentialRow]:
    """Every credential of every client, oldest first."""
    rows = conn.execute(select(credentials).order_by(credentials.c.id)).mappings()
    return [CredentialRow(**row) for row in rows]


def retire(conn: Connection, client_id: str, digest: str, at: int) -> bool:
    """The certificate of this thumbprint, or the key of this spki_sha256, stops counting.

    False when the client has no such active credential.
    """
    query = update(credentials).where(
        credentials.c.client_id == client_id,
        credentials.c.state == "active",
        (credentials.c.thumbprint == digest)
        | ((credentials.c.kind == "key") & (credentials.c.spki_sha256 == digest)),
    )
    return conn.execute(query.values(state="retired", retired_at=at)).rowcount > 0
