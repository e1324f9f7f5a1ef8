"""The audit table: append-only, each entry chained by SHA-256 to the one before in its stream.

A stream belongs to one writer: every journal has its own, named at random; operators' acts go to
the stream ``admin``. ``hash = SHA-256(prev || writer LF seq LF at_ms LF body)``, numbers in decimal,
text in UTF-8, prev of the first entry 32 zero bytes. So an edited, removed or reordered entry
breaks its stream. What a cut tail shows, and a stream written anew as a whole, are the signed
checkpoints (`app.keys.checkpoint`).
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    func,
    select,
    tuple_,
)

from app.audit import AnchorRemoved, CertificateDenied, Event, TrustRemoved, canonical_text
from app.clock import now_ms
from app.store.engine import lock_admin_stream
from app.store.places import placed
from app.store.rows import insert_rows
from app.store.tables import audit
from app.store.told import number, octets, typed

ADMIN = "admin"
"""The one stream of operators' acts, shared by all processes and nodes."""

_INDEXED = 255
"""Longest value copied into a column beside the body: PostgreSQL's index rows end at 2,704 bytes,
and what a refused client sent must not fail the batch it shares with others."""


_LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


class Entry(NamedTuple):
    """One event, ready to append."""

    event: str
    decision: str
    reason: str | None
    ref: str | None
    client_id: str | None
    thumbprint: str | None
    jti: str | None
    resource: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a stream stands: its last sequence number and hash."""

    writer: str
    seq: int = 0
    head: bytes = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One stored entry."""

    writer: str
    seq: int
    at_ms: int
    event: str
    decision: str
    reason: str | None
    ref: str | None
    client_id: str | None
    thumbprint: str | None
    jti: str | None
    resource: str | None
    body: str
    prev: bytes
    hash: bytes


def new_writer() -> str:
    """A stream name nobody else has: 96 random bits."""
    return secrets.token_hex(12)


def entry(event: Event) -> Entry:
    """What will be stored of this event. Whatever text it carries, both databases can store it."""
    text = canonical_text(event)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate, from JSON somebody sent: keep it escaped
            text = json.dumps(event.body(), sort_keys=True, separators=(",", ":"))
    return Entry(
        event.name,
        event.decision,
        event.reason,
        event.ref,
        _copy(event.client_id),
        _copy(event.thumbprint),
        _copy(event.jti),
        _copy(event.resource),
        text,
    )


def copies(body: dict[str, Any]) -> dict[str, str | None]:
    """What the columns beside a body must say; they are for the index, only the body is hashed."""
    certificate = body.get("certificate") or {}
    return {
        **{name: body.get(name) for name in ("event", "decision", "reason", "ref")},
        **{name: _copy(body.get(name)) for name in ("client_id", "jti", "resource")},
        "thumbprint": _copy(certificate.get("thumbprint")),
    }


def append(conn: Connection, chain: Chain, entries: Sequence[Entry]) -> Chain:
    """Append to a stream that only this caller writes; where it stands then.

    The result holds once the transaction is committed. A second writer at the same place raises
    `sqlalchemy.exc.IntegrityError`.
    """
    at_ms = now_ms()
    writer, seq, head = chain.writer, chain.seq, chain.head
    rows = []
    for item in entries:
        seq += 1
        prev, head = head, link(head, writer, seq, at_ms, item.body)
        rows.append((writer, seq, at_ms, *item, prev, head))
    insert_rows(conn, audit, rows)
    return Chain(writer, seq, head)


def append_admin(conn: Connection, event: Event) -> None:
    """Append an operator's act, in the transaction that does it: both are kept or neither."""
    lock_admin_stream(conn)
    append(conn, resume(conn, ADMIN), [entry(event)])


def resume(conn: Connection, writer: str, known: Chain | None = None) -> Chain:
    """Where the stored stream stands; a stream without entries stands at its beginning.

    `known` is where its writer knows it to have stood: entries may have been cut since.
    """
    query = select(audit.c.seq, audit.c.hash).where(
        audit.c.writer == writer, placed(conn, audit.c.seq)
    )
    last = conn.execute(query.order_by(audit.c.seq.desc()).limit(1)).one_or_none()
    stored = Chain(writer, last.seq, octets(last.hash)) if last else Chain(writer)
    return known if known is not None and known.seq > stored.seq else stored


def link(prev: bytes, writer: str, seq: int, at_ms: int, body: str) -> bytes:
    """The hash of an entry, as this module's docstring defines it."""
    return hashlib.sha256(prev + f"{writer}\n{seq}\n{at_ms}\n{body}".encode()).digest()


def tail(conn: Connection, count: int) -> Sequence[AuditRow]:
    """The last entries of all streams, oldest first."""
    query = select(audit).order_by(audit.c.at_ms.desc(), audit.c.writer.desc(), audit.c.seq.desc())
    return _rows(conn, query.limit(count))[::-1]


def newest_at(conn: Connection, until_ms: int = _LAST_MS) -> int:
    """The latest time of any entry, not after `until_ms`, in milliseconds; 0 where there is none.

    Damaged ones do not count.
    """
    # Text, which SQLite takes for a number, is greater than every number there.
    query = select(func.max(audit.c.at_ms)).where(audit.c.at_ms <= min(until_ms, _LAST_MS))
    return int(conn.execute(query).scalar_one() or 0)


def find_ref(conn: Connection, ref: str) -> AuditRow | None:
    """The entry an `error_ref` points to."""
    found = _rows(conn, select(audit).where(audit.c.ref == ref))
    return found[0] if found else None


def denials(conn: Connection) -> Sequence[str]:
    """The body of each entry that put something on the deny-list, oldest first."""
    query = select(audit.c.body).where(
        audit.c.writer == ADMIN, audit.c.event == CertificateDenied.name
    )
    return conn.execute(query.order_by(audit.c.seq)).scalars().all()


def removals(conn: Connection) -> Sequence[tuple[int, str]]:
    """When, in milliseconds, and the body of each entry that took CAs from a trust set, oldest first."""
    query = select(audit.c.at_ms, audit.c.body).where(
        audit.c.writer == ADMIN, audit.c.event.in_((AnchorRemoved.name, TrustRemoved.name))
    )
    return [(number(row.at_ms), row.body) for row in conn.execute(query.order_by(audit.c.seq))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an entry must be to be found; None: whatever it is there."""

    client_id: str | None = None
    thumbprint: str | None = None
    jti: str | None = None
    resource: str | None = None
    decision: str | None = None
    reason: str | None = None
    event: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    """Not older than the one, older than the other."""
    words: tuple[str, ...] = ()
    """Pieces of the stored body as spelled there; SQLite takes ``A`` for ``a``. Slow: each body is
    read, so bound it by dates."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same in SQL of both dialects."""
        columns = ("client_id", "thumbprint", "jti", "resource", "decision", "reason", "event")
        found = [
            audit.c[name] == _copy(value)
            for name in columns
            if (value := getattr(self, name)) is not None
        ]
        if self.since_ms is not None:
            found.append(audit.c.at_ms >= self.since_ms)
        if self.until_ms is not None:
            found.append(audit.c.at_ms < self.until_ms)
        # Pieces of text, no JSON functions: those refuse some bodies, and differ by database.
        return found + [audit.c.body.contains(word, autoescape=True) for word in self.words]


EVERYTHING = Wanted()


def search(conn: Connection, wanted: Wanted = EVERYTHING, count: int = 100) -> Sequence[AuditRow]:
    """The last entries that are as wanted, oldest first."""
    query = select(audit).where(*wanted.conditions())
    query = query.order_by(audit.c.at_ms.desc(), audit.c.writer.desc(), audit.c.seq.desc())
    return _rows(conn, query.limit(count))[::-1]


def dated_before(conn: Connection, at_ms: int | None, steps: int) -> int | None:
    """The date of the entry that many steps back in time from here; None: it goes not so far."""
    # Text is later than any date in SQLite: it belongs to the last part, and begins none.
    query = select(audit.c.at_ms).where(audit.c.at_ms <= _LAST_MS).order_by(audit.c.at_ms.desc())
    if at_ms is not None:
        query = query.where(audit.c.at_ms < at_ms)
    return conn.execute(query.offset(steps).limit(1)).scalar()


class Place(NamedTuple):
    """Where one entry stands among all of them, in order of time: as stored, damaged or not."""

    at_ms: int
    writer: str
    seq: int


def following(
    conn: Connection, wanted: Wanted, behind: Place | None, count: int
) -> tuple[Sequence[AuditRow], Place | None]:
    """The next entries that are as wanted, in order of time, stream and number; and the last's place."""
    query = select(audit).where(*wanted.conditions())
    if behind is not None:
        order = tuple_(audit.c.at_ms, audit.c.writer, audit.c.seq)
        # The first condition is what lets both databases begin where the index says.
        query = query.where(audit.c.at_ms >= behind.at_ms, order > tuple_(*behind))
    query = query.order_by(audit.c.at_ms, audit.c.writer, audit.c.seq)
    found = conn.execute(query.limit(count)).mappings().all()
    last = Place(*(found[-1][name] for name in Place._fields)) if found else None
    return [AuditRow(**typed(row)) for row in found], last


def _rows(conn: Connection, query: Select[Any]) -> list[AuditRow]:
    return rows_of(conn.execute(query))


def rows_of(found: CursorResult[Any]) -> list[AuditRow]:
    """Entries of the declared types, whatever SQLite, which takes any, was given in their place."""
    return [AuditRow(**typed(row)) for row in found.mappings()]


def _copy(value: str | None) -> str | None:
    if value is None or (value.isascii() and value.isprintable() and len(value) <= _INDEXED):
        return value
    # PostgreSQL's text takes neither NUL nor lone surrogates.
    return value.encode("utf-8", "backslashreplace").decode()[:_INDEXED].replace("\0", "\\0")
