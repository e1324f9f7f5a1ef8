"""Signing keys: one `next`, one `current`, any number `retired`. The database decides races.

Changed inside `registry.change`, so that every process publishes a key before anyone signs with it.
Not here: when to rotate, and how the private half is sealed (`app.keys`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, delete, exists, select, update

from app.store.engine import insert_if_absent
from app.store.tables import signing_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRow:
    """One key pair; `sealed` is the private half, encrypted."""

    kid: str
    algorithm: str
    public_jwk: str
    sealed: bytes
    created_at: int
    published_at: int
    state: Literal["next", "current", "retired"] = "next"
    activated_at: int | None = None
    retired_at: int | None = None
    remove_after: int | None = None


def insert_next(conn: Connection, key: SigningKeyRow) -> bool:
    """Publish a key that will sign later; False when another one stands ready already."""
    return insert_if_absent(conn, signing_keys, {**asdict(key), "state": "next"})


def promote(conn: Connection, kid: str, *, at: int, remove_after: int) -> bool:
    """The next key of this id signs from now on; what signed before retires until `remove_after`.

    Of any number of processes that promote the same key, one gets True; the others change nothing.
    """
    key = signing_keys.c
    # The old one goes first: the index allows one current key at any instant.
    ready = signing_keys.alias("ready")
    stands_ready = exists().where(ready.c.kid == kid, ready.c.state == "next")
    conn.execute(
        update(signing_keys)
        .where(key.state == "current", stands_ready)
        .values(state="retired", retired_at=at, remove_after=remove_after)
    )
    claim = update(signing_keys).where(key.kid == kid, key.state == "next")
    return conn.execute(claim.values(state="current", activated_at=at)).rowcount == 1


def retire(conn: Connection, kid: str, *, at: int, remove_after: int) -> bool:
    """The key signs no more, whether next or current; False when unknown or retired already."""
    query = update(signing_keys).where(signing_keys.c.kid == kid, signing_keys.c.state != "retired")
    values = {"state": "retired", "retired_at": at, "remove_after": remove_after}
    return conn.execute(query.values(values)).rowcount == 1


def remove_expired(conn: Connection, now: int) -> Sequence[str]:
    """Forget retired keys whose last token has expired; their ids."""
    query = delete(signing_keys).where(
        signing_keys.c.state == "retired", signing_keys.c.remove_after <= now
    )
    return sorted(conn.execute(query.returning(signing_keys.c.kid)).scalars())


def remove(conn: Connection, kid: str) -> bool:
    """Forget one retired key at once, good tokens or not; False when it is not retired."""
    query = delete(signing_keys).where(signing_keys.c.kid == kid, signing_keys.c.state == "retired")
    return conn.execute(query).rowcount == 1


def listed(conn: Connection) -> Sequence[SigningKeyRow]:
    """Every key, oldest first."""
    query = select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid)
    return [SigningKeyRow(**row) for row in conn.execute(query).mappings()]
