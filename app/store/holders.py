"""Which clients hold which keys. The database decides who was first, whichever node asks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, except_, select

from app.store.engine import insert_or_replace, lock_holders
from app.store.tables import certificate_uses, clients, credentials, key_holders


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRow:
    """One client that registered or used a key."""

    spki_sha256: str
    client_id: str
    tenant: str
    first_seen: int
    """When it claimed the key, or a moment later: of two holders never the same (see `claim`)."""
    proven: bool = True
    """Whether it ever showed that it has the key; else anybody may have named it."""


def claim(
    conn: Connection,
    spki_sha256: str,
    client_id: str,
    tenant: str,
    at: int,
    *,
    proven: bool = True,
) -> Sequence[HolderRow]:
    """Enter the client among the key's holders; all of them, the first first.

    Who proved to have the key comes before all who did not: a claim that is not `proven`, such as
    the registration of a public key, yields to the first proof. A claim is proven once, then.

    Of two that claim one key at once, the later one sees the earlier: whoever claims waits until
    other claims are committed or rolled back, and is entered as later than every holder there is,
    whatever second it is and however the nodes' clocks differ. A claim that must not stand is
    taken back with `release`, or by rolling back. Inside `registry.change` or alone in its transaction. Raises
    `sqlalchemy.exc.IntegrityError` for an unknown client.
    """
    lock_holders(conn)
    earlier = of_key(conn, spki_sha256)
    if among(client_id, earlier, proven=proven):
        return earlier
    at = max([at, *(row.first_seen + 1 for row in earlier)])
    own = {"spki_sha256": spki_sha256, "client_id": client_id}
    values = {**own, "tenant": tenant, "first_seen": at, "proven": proven}
    # Only a claim without proof is there already, if any.
    insert_or_replace(conn, key_holders, values, key_holders.c.proven.is_(False))
    return of_key(conn, spki_sha256)


def among(client_id: str, rows: Sequence[HolderRow], *, proven: bool = True) -> bool:
    """Whether the client is one of these holders, with a claim that is `proven` where it must be."""
    return any(row.client_id == client_id and (row.proven or not proven) for row in rows)


def claim_if_registered(
    conn: Connection, spki_sha256: str, client_id: str, tenant: str, at: int
) -> Sequence[HolderRow]:
    """As `claim`, for a client that may have been removed meanwhile: then nothing is entered."""
    if conn.execute(select(clients.c.client_id).where(clients.c.client_id == client_id)).first():
        return claim(conn, spki_sha256, client_id, tenant, at)
    return of_key(conn, spki_sha256)


def of_key(conn: Connection, spki_sha256: str) -> Sequence[HolderRow]:
    """The key's holders, the first first."""
    query = select(key_holders).where(key_holders.c.spki_sha256 == spki_sha256)
    held = key_holders.c
    query = query.order_by(held.proven.desc(), held.first_seen, held.client_id)
    return [HolderRow(**row) for row in conn.execute(query).mappings()]


def of_client(conn: Connection, client_id: str) -> Sequence[str]:
    """The keys that the client holds, whether it ever got a token with them or not."""
    query = select(key_holders.c.spki_sha256).where(key_holders.c.client_id == client_id)
    return list(conn.scalars(query.order_by(key_holders.c.spki_sha256)))


def release(conn: Connection, spki_sha256: str, client_id: str) -> bool:
    """The client no longer holds the key; False when it did not."""
    query = delete(key_holders).where(
        key_holders.c.spki_sha256 == spki_sha256, key_holders.c.client_id == client_id
    )
    return conn.execute(query).rowcount == 1


def unused(conn: Connection, before: int, *, batch: int = 1000) -> Sequence[str]:
    """Up to `batch` keys that only mean something to the past: held, registered and used by nobody.

    Every claim of them is older than `before`, no client has one as a credential, and no use of a
    certificate with one is remembered any more (see `uses.forget`).
    """
    held = key_holders.c
    query = except_(
        select(held.spki_sha256).where(held.first_seen < before),
        select(held.spki_sha256).where(held.first_seen >= before),
        select(certificate_uses.c.spki_sha256),
        select(credentials.c.spki_sha256),
    )
    return list(conn.scalars(query.limit(batch)))


def forget(conn: Connection, before: int, *, batch: int = 1000) -> int:
    """Forget who held up to `batch` keys that are `unused`; how many keys.

    Inside `registry.change`: what a process remembers of holders counts for one registry version,
    so a claim it read before is read again, and no use is recorded meanwhile.
    """
    keys = unused(conn, before, batch=batch)
    conn.execute(delete(key_holders).where(key_holders.c.spki_sha256.in_(keys)))
    return len(keys)
