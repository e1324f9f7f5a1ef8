"""The database's schema: may this code use it, and how to bring it there.

Serving asks `ensure_served` and never changes the schema by itself; `upgrade` is an operator's act.
A newer schema may be used where its newest migration says so (migrations/README.md), so that
the release before goes on beside the next one. Where it ceases to say so, a running server notices
with the registry's version, before it writes anything (`app.store.registry`). Alembic is imported only by the functions that need it: a server's start should not pay for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event, inspect

from app.store.engine import Database, StoreUnavailable
from app.store.migrating import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

HEAD = "0006"
"""The newest migration. A test compares it with the folder."""
_VERSION = "SELECT version_num FROM alembic_version"


class SchemaMismatch(Exception):
    """This release cannot use the database's schema. `seen` says what it is, `action` what to do."""

    def __init__(self, current: str | None) -> None:
        has = "is empty" if current is None else f"has schema {current}"
        self.seen = f"The database {has}, this release needs schema {HEAD}."
        self.action = remedy(current)
        super().__init__(f"{self.seen} {self.action}")


def remedy(current: str | None) -> str:
    """What an operator does about a schema that is not `HEAD`; None is an empty database."""
    if current is not None and current > HEAD:
        return "This release is older than the database: install the newer release."
    return "certbound db upgrade"


def status(url: str) -> tuple[str | None, str]:
    """The revision the database has (None: empty) and the one this release needs."""
    db = Database(url)
    try:
        with db.read() as conn:
            return _current(conn), HEAD
    finally:
        db.dispose()


def serves(url: str) -> bool:
    """Whether this release may use the schema of the database there."""
    db = Database(url)
    try:
        with db.read() as conn:
            return is_served(conn)
    finally:
        db.dispose()


def ensure_served(db: Database) -> None:
    """Raise `SchemaMismatch` unless this release may use the database's schema."""
    with db.read() as conn:
        if not is_served(conn):
            raise SchemaMismatch(_current(conn))


def is_served(conn: Connection) -> bool:
    """Whether this release may use the schema: its own, or a newer one that says so of itself."""
    return _serves(conn, _current(conn))


def require_served(conn: Connection) -> None:
    """The same of a database in use; raises `StoreUnavailable`, for it may be so again some time."""
    current: str | None = conn.exec_driver_sql(_VERSION).scalar()
    if not _serves(conn, current):
        found = f"its schema is {current}, this release needs {HEAD}"
        raise StoreUnavailable(f"the database was migrated while in use: {found}")


def _serves(conn: Connection, current: str | None) -> bool:
    if current is None or current <= HEAD:  # four digits each
        return current == HEAD
    row = conn.exec_driver_sql("SELECT migrated_to, oldest FROM registry").one()
    return bool(row.migrated_to == current and row.oldest and row.oldest <= HEAD)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up to a revision, in one transaction; what is there already is left alone.

    Of several processes at once, one migrates and the others find it done. Raises
    `alembic.util.CommandError` for an unknown revision, such as a newer release's.
    """
    from alembic import command  # noqa: PLC0415 -- lazily, see above

    _run(command.upgrade, url, revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate back to a revision, in one transaction. What only newer tables held is lost."""
    from alembic import command  # noqa: PLC0415 -- lazily, see above

    _run(command.downgrade, url, revision)


def alembic_config(url: str) -> "Config":
    """Alembic's settings for this database, made in code: no ini file, any current directory."""
    from alembic.config import Config  # noqa: PLC0415 -- lazily, see above

    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


@dataclass(frozen=True, slots=True)
class Step:
    """One migration that is to come."""

    revision: str
    title: str
    statements: tuple[str, ...]
    """The SQL, as the database would get it."""


def plan(url: str) -> list[Step]:
    """What `upgrade` would do. Tried on an empty database of the same kind; nothing is changed.

    So statements are the same whatever is in the tables, and no table in use is locked.
    """
    from alembic import command  # noqa: PLC0415 -- lazily, see above

    current, needed = status(url)
    if current == needed:
        return []
    steps: list[Step] = []
    statements: list[str] = []

    def sent(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW", "EXPLAIN")):
            statements.append(" ".join(statement.split()))

    def applied(step: Any, **_: object) -> None:
        title = (step.up_revision.doc or "").partition("\n")[0]
        steps.append(Step(step.up_revision_id, title, tuple(statements)))
        statements.clear()

    with scratch(url) as conn:
        config = alembic_config(url)
        config.attributes["connection"] = conn
        if current is not None:
            command.upgrade(config, current)
        event.listen(conn, "before_cursor_execute", sent)
        config.attributes["on_version_apply"] = applied
        command.upgrade(config, "head")
    return steps


def _run(act: "Callable[[Config, str], None]", url: str, revision: str) -> None:
    act(alembic_config(url), revision)


def _folder() -> Path:
    """Inside an installed wheel the migrations are in the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _current(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.exec_driver_sql(_VERSION).scalar()
