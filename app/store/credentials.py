"""The certificates and keys that clients registered. Changed inside `registry.change` only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, func, select, update

from app.store.engine import insert_if_absent
from app.store.tables import credentials

Custody = Literal["file", "hsm", "kms", "tpm", "unknown"]
"""Where the private key is kept, as its owner says; nothing here can check it."""

Phase = Literal["staged", "active", "retiring", "retired", "revoked"]
"""Where a credential stands at a given time. Staged, retired and revoked ones open nothing."""


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
    state: Literal["active", "retired", "revoked"] = "active"
    activate_at: int | None = None
    retired_at: int | None = None
    source: Literal["registered", "jwks"] = "registered"
    retire_at: int | None = None
    revoked_at: int | None = None
    custody: Custody = "unknown"
    owner: str = ""
    tenant: str = ""
    risk: str = ""
    resource_class: str = ""
    """Boundary labels of its own; empty: the client's."""
    id: int | None = None
    """Given by the database; None before."""

    def phase(self, now: int) -> Phase:
        """Where it stands: the stored state and its two dates together."""
        if self.state != "active":
            return self.state
        if self.retire_at is not None:
            if self.retire_at <= now:
                return "retired"
            if self.activate_at is None or self.activate_at <= now:
                return "retiring"
        return "staged" if self.activate_at is not None and self.activate_at > now else "active"


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


def by_thumbprint(conn: Connection, thumbprint: str) -> Sequence[CredentialRow]:
    """Every client's registration of this certificate, oldest first, in any state."""
    query = select(credentials).where(credentials.c.thumbprint == thumbprint)
    rows = conn.execute(query.order_by(credentials.c.id)).mappings()
    return [CredentialRow(**row) for row in rows]


def by_key(conn: Connection, spki_sha256: str) -> Sequence[CredentialRow]:
    """Every client's registration of this key, alone or in a certificate, oldest first."""
    query = select(credentials).where(credentials.c.spki_sha256 == spki_sha256)
    rows = conn.execute(query.order_by(credentials.c.id)).mappings()
    return [CredentialRow(**row) for row in rows]


def retire(conn: Connection, client_id: str, digest: str, at: int) -> bool:
    """The certificate of this thumbprint, or the key of this spki_sha256, stops counting.

    False when the client has no such active credential.
    """
    query = update(credentials).where(_named(client_id, digest), credentials.c.state == "active")
    return conn.execute(query.values(state="retired", retired_at=at)).rowcount > 0


def retire_at(
    conn: Connection,
    client_id: str,
    digest: str,
    at: int | None,
    *,
    now: int,
    postpone: bool = False,
) -> bool:
    """It will stop counting by itself at this time (None: it will not).

    False when the client has no such active credential, one whose announced time came before `now`,
    for what is retired stays so; and, unless it is to `postpone`, one announced for an earlier time.
    """
    announced = credentials.c.retire_at
    counting = announced.is_(None) | (announced > now)
    query = update(credentials).where(
        _named(client_id, digest), credentials.c.state == "active", counting
    )
    if not postpone:
        query = query.where(announced.is_(None) | (False if at is None else announced >= at))
    return conn.execute(query.values(retire_at=at)).rowcount > 0


def revoke(conn: Connection, client_id: str, digest: str, at: int) -> bool:
    """It stops counting for good, as compromised; a retired one too.

    It is retired as well, so that who knows nothing of revocation does not take it either.

    False when the client has no such credential, or it is revoked already.
    """
    query = update(credentials).where(_named(client_id, digest), credentials.c.state != "revoked")
    retired_at = func.coalesce(credentials.c.retired_at, at)
    values = {"state": "revoked", "revoked_at": at, "retired_at": retired_at}
    return conn.execute(query.values(values)).rowcount > 0


def label(
    conn: Connection,
    client_id: str,
    digest: str,
    *,
    custody: Custody | None = None,
    owner: str | None = None,
    tenant: str | None = None,
    risk: str | None = None,
    resource_class: str | None = None,
) -> bool:
    """Note who answers for the private key, where it is kept, and its boundary labels.

    What is None stays. False when the client has no such credential.
    """
    given = {
        "custody": custody,
        "owner": owner,
        "tenant": tenant,
        "risk": risk,
        "resource_class": resource_class,
    }
    values = {name: value for name, value in given.items() if value is not None}
    query = update(credentials).where(_named(client_id, digest))
    return conn.execute(query.values(values)).rowcount > 0


def _named(client_id: str, digest: str) -> ColumnElement[bool]:
    """The client's certificate of this thumbprint, or its key of this spki_sha256."""
    return (credentials.c.client_id == client_id) & (
        (credentials.c.thumbprint == digest)
        | ((credentials.c.kind == "key") & (credentials.c.spki_sha256 == digest))
    )
