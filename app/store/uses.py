"""Which certificates clients were seen with: first, last, how often, on which day, for what.

Guarantees: a use is recorded in the transaction that records its token, so the two never differ.
Not here: uses that were refused (the audit has them), nor anything decisions depend on. A removed
client's uses go with it.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    delete,
    exists,
    or_,
    select,
    tuple_,
)

from app.store.rows import upsert_rows
from app.store.tables import certificate_days as days_table
from app.store.tables import certificate_resources, certificate_uses, clients, expiry_notices

DAY = 86_400
QUIET = 14 * DAY
"""Seconds without use, while a newer one is used, after which nobody is taken to hold it any more."""


class CertificateUse(NamedTuple):
    """A client authenticated with a certificate. A tuple: one is made for every token."""

    client_id: str
    thumbprint: str
    subject: str
    issuer: str
    serial: str
    spki_sha256: str
    not_before: int
    not_after: int
    trust_set: str | None
    at: int
    resource: str | None = None
    """What it got a token for, if it did."""
    tbs_sha256: str = ""
    """Of the part of it that its CA signed; empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRow:
    """One client's uses of one certificate."""

    client_id: str
    thumbprint: str
    subject: str
    issuer: str
    serial: str
    spki_sha256: str
    not_before: int
    not_after: int
    trust_set: str | None
    first_used: int
    last_used: int
    uses: int
    tbs_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """The uses of one certificate on one day (UTC, counted from the epoch)."""

    client_id: str
    thumbprint: str
    day: int
    uses: int


# In the update, names without a table are the stored row's.
_LATER = "last_used = CASE WHEN excluded.last_used > {0}.last_used THEN excluded.last_used ELSE {0}.last_used END"
_USES = f"{_LATER}, trust_set = excluded.trust_set, tbs_sha256 = excluded.tbs_sha256, uses = {{0}}.uses + excluded.uses"
_DAYS = "uses = {0}.uses + excluded.uses"


Served = tuple[str, str, str]
"""A client, its certificate's thumbprint and a resource it got a token for."""


def record(
    conn: Connection, uses: Iterable[CertificateUse], recorded: AbstractSet[Served] = frozenset()
) -> AbstractSet[Served]:
    """Count these uses; what they served that was not `recorded` before.

    In this order of tables and rows, so that no two writers wait for each other in a circle.
    """
    certificates: dict[tuple[str, str], list[Any]] = {}
    days: dict[tuple[str, str, int], int] = {}
    served: dict[Served, int] = {}
    for use in uses:
        client_id, thumbprint, at = use.client_id, use.thumbprint, use.at
        known = certificates.get((client_id, thumbprint))
        if known is None:
            certificates[client_id, thumbprint] = [*use[:9], at, at, 1, use.tbs_sha256]
        else:
            known[8] = use.trust_set
            known[9] = min(known[9], at)
            known[10] = max(known[10], at)
            known[11] += 1
        day = (client_id, thumbprint, at // DAY)
        days[day] = days.get(day, 0) + 1
        if use.resource is not None:
            triple = (client_id, thumbprint, use.resource)
            if triple not in recorded:
                served.setdefault(triple, at)
    if not certificates:
        return served.keys()
    rows = [tuple(certificates[key]) for key in sorted(certificates)]
    upsert_rows(conn, certificate_uses, rows, _USES)
    upsert_rows(conn, days_table, [(*key, days[key]) for key in sorted(days)], _DAYS)
    fresh = [(*key, served[key]) for key in sorted(served)]
    upsert_rows(conn, certificate_resources, fresh, None)
    return served.keys()


def of_client(conn: Connection, client_id: str) -> Sequence[UseRow]:
    """The certificates this client was seen with, the last used first."""
    return _found(conn, select(certificate_uses).where(certificate_uses.c.client_id == client_id))


def in_date(conn: Connection, now: int) -> Sequence[UseRow]:
    """Every client's certificates that have not ended, the last used first."""
    return _found(conn, select(certificate_uses).where(certificate_uses.c.not_after > now))


def by_thumbprint(conn: Connection, thumbprint: str) -> Sequence[UseRow]:
    """Every client that used this certificate, the last first."""
    return _found(conn, select(certificate_uses).where(certificate_uses.c.thumbprint == thumbprint))


def resources_of(conn: Connection, thumbprint: str) -> Sequence[str]:
    """Every resource that a client got a token for with this certificate."""
    column = certificate_resources.c.resource
    query = select(column).where(certificate_resources.c.thumbprint == thumbprint)
    return conn.execute(query.distinct().order_by(column)).scalars().all()


def by_key(conn: Connection, spki_sha256: str) -> Sequence[UseRow]:
    """Every use of any certificate with this key, the last first."""
    query = select(certificate_uses).where(certificate_uses.c.spki_sha256 == spki_sha256)
    return _found(conn, query)


def by_content(conn: Connection, tbs_sha256: str) -> Sequence[UseRow]:
    """Every use of this certificate, also with another signature over the same, the last first."""
    query = select(certificate_uses).where(certificate_uses.c.tbs_sha256 == tbs_sha256)
    return _found(conn, query)


def by_serial(conn: Connection, issuer: str, serial: str) -> Sequence[UseRow]:
    """Every use of the certificate that this issuer (RFC 4514) numbered so, the last first."""
    query = select(certificate_uses).where(
        certificate_uses.c.issuer == issuer, certificate_uses.c.serial == serial
    )
    return _found(conn, query)


def expiring(conn: Connection, before: int) -> Sequence[UseRow]:
    """The certificates that end before this moment (or have ended) and were not replaced.

    Replaced means: the client was seen with one that is good beyond the moment, and since that one
    appeared this one was not used, or not for `QUIET`. Of registered, enabled clients; the first to
    end first.
    """
    old = certificate_uses.alias("old")
    new = certificate_uses.alias("new")
    replaced = exists().where(
        new.c.client_id == old.c.client_id,
        new.c.not_after >= before,
        *_took_over(new, old),
    )
    enabled = exists().where(
        clients.c.client_id == old.c.client_id, clients.c.disabled_at.is_(None)
    )
    query = select(old).where(old.c.not_after < before, ~replaced, enabled)
    rows = conn.execute(query.order_by(old.c.not_after, old.c.client_id)).mappings()
    return [UseRow(**row) for row in rows]


def by_issuer(conn: Connection, issuer: str, *, since: int) -> Sequence[UseRow]:
    """Uses since then of certificates with this issuer (RFC 4514), the last first."""
    use = certificate_uses.c
    query = select(certificate_uses).where(use.issuer == issuer, use.last_used >= since)
    return _found(conn, query)


def lasting(conn: Connection, after: int, *, count: int = 1000) -> Sequence[UseRow]:
    """Each enabled client's certificates that end after this moment and were not replaced.

    Up to `count` of them, the first to end first. One that lasts longer takes the place of another
    that was not used since that one appeared, or not for `QUIET`: as with `expiring`.
    """
    old = certificate_uses.alias("old")
    new = certificate_uses.alias("new")
    replaced = exists().where(
        new.c.client_id == old.c.client_id,
        new.c.not_after > old.c.not_after,
        *_took_over(new, old),
    )
    enabled = exists().where(
        clients.c.client_id == old.c.client_id, clients.c.disabled_at.is_(None)
    )
    query = select(old).where(old.c.not_after > after, ~replaced, enabled)
    rows = conn.execute(query.order_by(old.c.not_after, old.c.client_id).limit(count)).mappings()
    return [UseRow(**row) for row in rows]


def last_used_by_trust(
    conn: Connection, trust_set: str, issuer: str | None = None
) -> Sequence[UseRow]:
    """Each client this set vouched for last, with that use; the last first.

    With `issuer` (RFC 4514) only certificates that this CA issued itself.
    """
    query = select(certificate_uses).where(certificate_uses.c.trust_set == trust_set)
    if issuer is not None:
        query = query.where(certificate_uses.c.issuer == issuer)
    latest: dict[str, UseRow] = {}
    for row in _found(conn, query):
        latest.setdefault(row.client_id, row)
    return list(latest.values())


def days(
    conn: Connection, client_id: str, thumbprint: str | None = None, *, since: int = 0
) -> Sequence[DayRow]:
    """The client's uses per day (of one certificate, or of each) from this day on, oldest first."""
    day = days_table.c
    query = select(days_table).where(day.client_id == client_id, day.day >= since)
    if thumbprint is not None:
        query = query.where(day.thumbprint == thumbprint)
    rows = conn.execute(query.order_by(day.day, day.thumbprint)).mappings()
    return [DayRow(**row) for row in rows]


def forget(conn: Connection, before: int, *, batch: int = 1000) -> int:
    """Forget up to `batch` certificates that ended, and were used last, before this moment; how many.

    Their days, resources and expiry notices go along. Call it again while it returns `batch`, each
    time in its own transaction. Short-lived certificates would else pile up, one row for each.
    """
    use = certificate_uses.c
    ended = select(use.client_id, use.thumbprint).where(
        use.not_after < before, use.last_used < before
    )
    gone = [tuple(row) for row in conn.execute(ended.limit(batch))]
    for table in (certificate_uses, days_table, certificate_resources, expiry_notices):
        pair = tuple_(table.c.client_id, table.c.thumbprint)
        conn.execute(delete(table).where(pair.in_(gone)))
    return len(gone)


def _took_over(new: FromClause, old: FromClause) -> tuple[ColumnElement[bool], ...]:
    """That nobody is taken to hold `old` any more, for `new` is used."""
    return (
        new.c.last_used >= old.c.last_used,
        or_(
            new.c.first_used >= old.c.last_used,
            new.c.last_used >= old.c.last_used + QUIET,
        ),
    )


def _found(conn: Connection, query: Select[Any]) -> Sequence[UseRow]:
    use = certificate_uses.c
    ordered = query.order_by(use.last_used.desc(), use.client_id, use.thumbprint)
    return [UseRow(**row) for row in conn.execute(ordered).mappings()]
