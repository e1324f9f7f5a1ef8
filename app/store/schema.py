"""The database's schema: is it the one this code was written for, and how to bring it there.

Serving asks `ensure_current` and never changes the schema by itself; `upgrade` is an operator's
act. Alembic is imported only by the functions that need it: a server's start should not pay for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event, inspect

from app.store.engine import Database
from app.store.migrating import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

HEAD = "0005"
"""The newest migration. A test compares it with the folder."""


class SchemaMismatch(Exception):
    """The database's schema is not this release's. `seen` says what it is, `action` what to do."""

    def __init__(self, current: str | None) -> None:
        has = "is empty" if current is None else f"has schema {current}"
        self.seen = f"The database {has}, this release needs schema {HEAD}."
        self.action = remedy(current)
        super().__init__(f"{self.seen} {self.action}")


def remedy(current: str | None) -> str:
    """What an operator does about a schema that is not `HEAD`; None is an empty database."""
    if current is not None and current > HEAD:  # four digits each
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


def ensure_current(db: Database) -> None:
    """Raise `SchemaMismatch` unless the database has exactly the schema this release needs."""
    with db.read() as conn:
        current = _current(conn)
    if current != HEAD:
        raise SchemaMismatch(current)


def is_current(conn: Connection) -> bool:
    """Whether the database has exactly the schema this release needs."""
    return _current(conn) == HEAD


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
    return conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
