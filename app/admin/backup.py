"""A copy of the database while it is in use.

Guarantees of a SQLite copy: it is one committed state, checked by SQLite itself, private (0600), on
the disk, and under its name only when all that is so; nothing is overwritten. PostgreSQL is copied
with its own tools: the command is told, and nothing is done.
"""

import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from app.admin.desk import Desk, file_of
from app.admin.problem import Kind, Problem
from app.store.libpq import without_password


def backup(desk: Desk, target: Path) -> int:
    """Copy the database to `target`; its size in octets.

    Raises:
        Problem: the target exists or cannot be written, the copy is not whole, or the database is
            PostgreSQL.

    """
    source = file_of(desk.db)
    if source is None:
        raise _not_here(desk, target)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if target.exists():
            raise FileExistsError(17, "it exists, and nothing is overwritten")
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            _copy(source, draft)
            os.link(draft, target)  # unlike a rename, it never replaces
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise Problem(
            "the backup was not made",
            seen=f"{target}: {getattr(error, 'strerror', None) or error}",
            expected="a new file in a directory that can be written, with room for the database",
            kind=Kind.ENVIRONMENT,
        ) from error
    return target.stat().st_size


def _copy(source: Path, draft: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as before,
        closing(sqlite3.connect(draft)) as after,
    ):
        before.backup(after)  # in one step: a copy in steps begins anew with each write
        after.execute("PRAGMA journal_mode=DELETE").close()  # a copy is one file
        verdict = after.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the copy is not whole: {verdict}")
    with draft.open("rb") as written:
        os.fsync(written.fileno())


def _not_here(desk: Desk, target: Path) -> Problem:
    url = without_password(desk.db.url)
    return Problem(
        "PostgreSQL is backed up with its own tools",
        seen="nothing was copied",
        expected="a dump, or better the continuous archive of its log; where it needs a password, "
        "pg_dump takes it from ~/.pgpass",
        action=shlex.join(("pg_dump", "--format=custom", f"--file={target}", url)),
        kind=Kind.ENVIRONMENT,
    )
