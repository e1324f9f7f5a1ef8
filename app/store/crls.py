"""Certificate revocation lists, one per trust set, CA and partition. Changed in `registry.change`.

The registry carries what is known of each; the list itself, up to tens of megabytes, is read by
its digest when that is new. Not here: whether a list is genuine (`pki` judges before it is stored).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select

from app.store.decimals import at_most, canonical
from app.store.engine import allow_time, insert_or_replace
from app.store.tables import trust_crls

_TRANSFER = 30
"""Seconds for moving one list: 50 MB take PostgreSQL one to two on a busy machine of two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRow:
    """What is known of one list, the list aside."""

    trust_set: str
    issuer_key: str
    """Names the CA, as `pki` does: opaque here."""
    digest: str
    """SHA-256 of the list, hexadecimal."""
    number: str
    """RFC 5280 section 5.2.3, in decimal without leading zeros; empty: it has none."""
    this_update: int
    next_update: int
    loaded_at: int
    entries: int
    partition: str = ""
    """Its distribution point; empty: the list is for all the CA's certificates."""


def replace_crl(conn: Connection, row: CrlRow, der: bytes) -> bool:
    """Make this the list of its trust set, CA and partition; True also when it was that already.

    False, and nothing changed, when the stored one has a higher number, or the same and a later
    `this_update`: the number alone says which of two is newer (RFC 5280 section 5.2.3), for a CA's
    clock may be set back. A list without number is older than one with. One statement decides, whoever
    else replaces.
    Raises `ValueError` for a number that is not canonical decimal, and
    `sqlalchemy.exc.IntegrityError` for an unknown set.
    """
    if row.number and row.number != canonical(int(row.number)):
        raise ValueError("a CRL number is written in decimal without leading zeros")
    allow_time(conn, _TRANSFER)
    stored = trust_crls.c
    same = stored.number == row.number
    not_older = at_most(stored.number, row.number) & (
        ~same | (stored.this_update <= row.this_update)
    )
    return insert_or_replace(conn, trust_crls, {**asdict(row), "der": der}, not_older)


def listed(conn: Connection) -> Sequence[CrlRow]:
    """What is known of every list, by trust set, CA and partition."""
    known = [column for column in trust_crls.c if column.name != "der"]
    rows = conn.execute(select(*known).order_by(*trust_crls.primary_key)).mappings()
    return [CrlRow(**row) for row in rows]


def crl_der(conn: Connection, digest: str) -> bytes | None:
    """The list of this digest; None when it was replaced or removed meanwhile."""
    allow_time(conn, _TRANSFER)
    query = select(trust_crls.c.der).where(trust_crls.c.digest == digest).limit(1)
    return conn.execute(query).scalar_one_or_none()


def remove(conn: Connection, trust_set: str, issuer_key: str, partition: str = "") -> bool:
    """Forget a list; False when there is none. Where revocation is judged hard, logins then fail."""
    query = delete(trust_crls).where(
        trust_crls.c.trust_set == trust_set,
        trust_crls.c.issuer_key == issuer_key,
        trust_crls.c.partition == partition,
    )
    return conn.execute(query).rowcount == 1
