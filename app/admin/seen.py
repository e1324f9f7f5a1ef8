"""What this home has seen of its database: a mark beside it that an older copy cannot reach.

Guarantees: a database that lacks a registry change or an audit entry which a server or a command of
this home saw, some seconds before the end at the latest, is told from the one it was copied from.
A copy forgets every revocation after it; so no server starts on it (`require_not_older`) until an
operator has taken it as it is (`app.admin.restore`).

A date that is still to come is none that was seen: somebody who wrote one into the database, and
took it back, leaves no mark that only a restored copy would explain.

Not guaranteed: anything where the home was lost with the database, or cannot be written to.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app import clock
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.store import audit, registry
from app.store.engine import Database
from app.store.settled import settle

FILE = "certbound.seen"


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a database has come. Both only ever grow."""

    database: str
    """Where it is: another database has a mark of its own."""
    registry: int
    """Version of the registry."""
    audit: int
    """Time of the newest audit entry, milliseconds; 0 where there is none."""

    def lacks(self, other: "Seen") -> bool:
        """Whether this is the same database before that moment."""
        if self.database != other.database:
            return False
        return self.registry < other.registry or self.audit < other.audit


def name_of(database: Database) -> str:
    """Where the database is, without who asks and with which password."""
    url = database.url
    host = url.query.get("host") or f"{url.host}:{url.port}"
    return str(url.database if database.dialect == "sqlite" else f"{host}/{url.database}")


def of(database: Database) -> Seen:
    """How far the database has come, whatever its dates are. Raises `StoreUnavailable`."""
    with database.read() as conn:
        return Seen(name_of(database), registry.version(conn), audit.newest_at(conn))


def until_now(database: Database) -> Seen:
    """How far it has come by this machine's clock: what may be written down. Raises as `of`."""
    with database.read() as conn:
        newest = audit.newest_at(conn, clock.now_ms())
        return Seen(name_of(database), registry.version(conn), newest)


def known(home: Path, database: str) -> Seen | None:
    """What this home has seen of this database; None: nothing yet, or nothing that can be read."""
    return _marks(home).get(database)


def keep(home: Path, database: Database) -> bool:
    """Write down how far it has come, as `note` does; only what is on disk.

    Else a disk that failed would make it an older copy of itself. Raises `StoreUnavailable`.
    """
    now = until_now(database)
    if known(home, now.database) != now:
        settle(database)
    return note(home, now)


def note(home: Path, seen: Seen) -> bool:
    """Write it down unless more was seen of the same database; False: the home cannot be written."""
    before = known(home, seen.database)
    if before is not None and (before == seen or seen.lacks(before)):
        return True
    return replace(home, seen)


def forget(home: Path, database: str) -> None:
    """A database is about to be made: whatever was seen in its place is no measure for it."""
    marks = _marks(home)
    if marks.pop(database, None) is not None:
        _write(home, marks)


def replace(home: Path, seen: Seen) -> bool:
    """Write it down, whatever was seen of this database before."""
    return _write(home, {**_marks(home), seen.database: seen})


def _marks(home: Path) -> dict[str, Seen]:
    """One line for each database: a look into a copy takes nothing from the mark of the other."""
    with suppress(OSError, ValueError, TypeError):
        lines = (home / FILE).read_text(encoding="utf-8").splitlines()
        marks = [Seen(**json.loads(line)) for line in lines]
        return {mark.database: mark for mark in marks}
    return {}


def _write(home: Path, marks: Mapping[str, Seen]) -> bool:
    file = home / FILE
    draft = home / f".{FILE}.{os.getpid()}"
    try:
        lines = "".join(f"{json.dumps(asdict(mark))}\n" for mark in marks.values())
        draft.write_text(lines, encoding="utf-8")
        draft.replace(file)
    except OSError:
        return False
    return True


def require_not_older(settings: Settings, database: Database) -> None:
    """Refuse a database that lacks what this home saw in it.

    Raises:
        Problem: it is an older copy; what it lacks, and what to do.
        StoreUnavailable: it does not answer.

    """
    now = of(database)
    before = known(settings.home, now.database)
    if before is None or not now.lacks(before):
        return
    same = now.registry >= before.registry
    raise Problem(
        "the database is older than what this home has seen",
        seen=f"registry version {now.registry}, newest audit entry {_time(now)}",
        expected=f"registry version {before.registry}, newest audit entry {_time(before)}, "
        "or later: what was revoked in between would count again",
        action=f"{_DOUBT if same else ''}certbound db restored",
        kind=Kind.ENVIRONMENT,
    )


_DOUBT = (
    "Where nobody put a copy back, entries were removed or dated anew; what was changed is told by: "
    "certbound audit verify; to take the database as it is: "
)
"""Where only the audit is behind: no act of an operator is missing."""


def _time(seen: Seen) -> str:
    return clock.iso(seen.audit // 1000)
