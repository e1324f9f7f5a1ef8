"""What this home has seen of its database: a mark beside it that an older copy cannot reach.

Guarantees: a database that lacks a registry change or an audit entry which a server or a command of
this home saw, some seconds before the end at the latest, is told from the one it was copied from.
A copy forgets every revocation after it; so no server starts on it (`require_not_older`) until an
operator has taken it as it is (`app.admin.restore`).

Not guaranteed: anything where the home was lost with the database, or cannot be written to.
"""

import json
import os
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


def of(database: Database) -> Seen:
    """How far the database has come. Raises `StoreUnavailable`."""
    url = database.url
    host = url.query.get("host") or f"{url.host}:{url.port}"
    name = url.database if database.dialect == "sqlite" else f"{host}/{url.database}"
    with database.read() as conn:
        return Seen(str(name), registry.version(conn), audit.newest_at(conn))


def known(home: Path) -> Seen | None:
    """What this home has seen; None: nothing yet, or nothing that can be read."""
    with suppress(OSError, ValueError, TypeError):
        return Seen(**json.loads((home / FILE).read_text(encoding="utf-8")))
    return None


def keep(home: Path, database: Database) -> bool:
    """Write down how far it has come, as `note` does; only what is on disk.

    Else a disk that failed would make it an older copy of itself. Raises `StoreUnavailable`.
    """
    now = of(database)
    if known(home) != now:
        settle(database)
    return note(home, now)


def note(home: Path, seen: Seen) -> bool:
    """Write it down unless more was seen of the same database; False: the home cannot be written."""
    before = known(home)
    if before is not None and (before == seen or seen.lacks(before)):
        return True
    return _write(home, seen)


def forget(home: Path) -> None:
    """A database is about to be made: whatever was seen in its place is no measure for it."""
    with suppress(OSError):
        (home / FILE).unlink()


def replace(home: Path, seen: Seen) -> bool:
    """Write it down, whatever was seen before."""
    return _write(home, seen)


def _write(home: Path, seen: Seen) -> bool:
    file = home / FILE
    draft = home / f".{FILE}.{os.getpid()}"
    try:
        draft.write_text(json.dumps(asdict(seen)) + "\n", encoding="utf-8")
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
    before = known(settings.home)
    now = of(database)
    if before is None or not now.lacks(before):
        return
    raise Problem(
        "the database is older than what this home has seen",
        seen=f"registry version {now.registry}, newest audit entry {_time(now)}",
        expected=f"registry version {before.registry}, newest audit entry {_time(before)}, "
        "or later: what was revoked in between would count again",
        action="certbound db restored",
        kind=Kind.ENVIRONMENT,
    )


def _time(seen: Seen) -> str:
    return clock.iso(seen.audit // 1000)
