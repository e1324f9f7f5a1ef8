"""Where an operator sits: one database, the settings, and the name that goes into the audit."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.admin import seen
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.store import schema
from app.store.engine import Database, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Desk:
    """What every operator action may use."""

    db: Database
    settings: Settings
    actor: str
    """The operating-system account, for the audit. A claim, not a proof."""


def actor() -> str:
    """The account that runs this process, as the audit names it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user without a name
        return f"uid {os.getuid()}"


@contextmanager
def at_desk(settings: Settings) -> Iterator[Desk]:
    """A desk over a database whose schema this release may use. Creates and migrates nothing.

    What was done at it is marked beside it (`app.admin.seen`).

    Raises:
        Problem: there is no database, or its schema is one this release cannot use.
        StoreUnavailable: it does not answer.

    """
    db = database(settings)
    try:
        require_file(db)
        try:
            schema.ensure_served(db)
        except schema.SchemaMismatch as mismatch:
            raise Problem(
                "the database cannot be used by this release",
                seen=mismatch.seen,
                expected=f"schema {schema.HEAD}",
                action=mismatch.action,
                kind=Kind.ENVIRONMENT,
            ) from mismatch
        try:
            yield Desk(db, settings, actor())
        finally:
            with suppress(StoreUnavailable):  # then the command has said so
                seen.keep(settings.home, db)
    finally:
        db.dispose()


def database(settings: Settings) -> Database:
    """The configured database, unopened.

    Raises:
        Problem: `database_url` names none that is supported.

    """
    try:
        return Database(settings.database_url)
    except ValueError as error:
        raise Problem(
            "database_url cannot be used",
            seen=str(error),
            expected="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME",
            action="certbound config show",
            kind=Kind.ENVIRONMENT,
        ) from error


def file_of(db: Database) -> Path | None:
    """The file of a SQLite database; None for a server."""
    return Path(str(db.url.database)) if db.dialect == "sqlite" else None


def _exists(path: Path) -> bool:
    """Whether it is there; a directory that may not be entered is not said to be empty."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def require_file(db: Database) -> None:
    """Refuse a SQLite database that is not there: opening it would make an empty one.

    Raises:
        Problem: the file does not exist, or is not to be used.

    """
    path = file_of(db)
    if path is not None and not _exists(path):
        raise Problem(
            "there is no database here",
            seen=f"no file {path}",
            expected="the database that db upgrade makes, or for a trial quickstart",
            action="Name the right home with --home. For a trial, certbound quickstart makes one; "
            "for real use: certbound db upgrade",
            kind=Kind.ENVIRONMENT,
        )
    if path is not None:
        require_usable(path)


def require_usable(path: Path) -> None:
    """Refuse a SQLite file that this account may not write.

    The file is not opened for it: closing it would drop the locks of this process's connections.

    Raises:
        Problem: in words that say more than the driver's.

    """
    for needed in (path, path.parent):  # SQLite keeps its journal beside the file
        if not os.access(needed, os.R_OK | os.W_OK):
            raise _forbidden(needed)


def _forbidden(path: Path) -> Problem:
    return Problem(
        "the database cannot be used",
        seen=f"{path}: permission denied; it belongs to {owner(path)}, this is {actor()}",
        expected="an account that may read and write the database and its directory",
        action=f"Run this as {owner(path)}.",
        kind=Kind.ENVIRONMENT,
    )


def owner(path: Path) -> str:
    """The account that a file, or else the nearest directory that may be seen, belongs to."""
    for each in (path, *path.parents):
        try:
            return each.owner()
        except KeyError:
            return f"uid {each.stat().st_uid}"
        except OSError:
            continue
    return "another account"
