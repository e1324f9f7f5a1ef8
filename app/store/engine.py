"""The one door to the database. SQLite and PostgreSQL differ here, in `connect` and `rows` only.

Guarantees: what `Database.begin` commits is on disk when it returns, whole or not at all; a read
sees one committed state; a database that cannot answer raises `StoreUnavailable` within about
`connect.PATIENCE` seconds per statement, one more where it is frozen, and heals without a restart.

On engines that only speak PostgreSQL's protocol, rows are locked instead of advisory locks, and
nobody is notified (see `connect.ROW_LOCKS`). Rows do not queue fairly: whoever revokes may have to
try again, and is told so.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from app.store.connect import ROW_LOCKS, accepted, file_identity, make_engine
from app.store.impatient import ImpatientConnection
from app.store.kept import Kept, transaction

# Keys of PostgreSQL's advisory locks: "certbnd" in ASCII and a number. They live in one namespace
# per database, so they only have to differ from what else uses this database.
_REGISTRY_LOCK = 0x63657274626E6401
_ADMIN_STREAM_LOCK = 0x63657274626E6402
_HOLDERS_LOCK = 0x63657274626E6404

_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
"""Primary result codes that say nothing about our statement, only about the file and its disk."""

_SQLITE_LASTING = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
"""Those of them that somebody has to do something about."""

_READ_ONLY_TRANSACTION = "25006"
"""SQLSTATE of a write on a standby: a failover is under way."""


Transaction = Connection
"""An open transaction, for rooms that pass it on to the store and do nothing else with it."""


class StoreUnavailable(Exception):
    """The database cannot take or give this now; nothing of the transaction was kept.

    One doubt remains on PostgreSQL: a connection lost during COMMIT may have committed. `lasting`:
    time alone will not mend it.
    """

    def __init__(self, *words: object, lasting: bool = False) -> None:
        super().__init__(*words)
        self.lasting = lasting


class Database:
    """One database, by SQLAlchemy URL; threads share it. Connections are made on first use.

    Raises `ValueError` for a URL that is neither a SQLite file nor PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = accepted(url)
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        self._writer = make_engine(self.url, read_only=False)
        self._reader = make_engine(self.url, read_only=True)
        self._file: tuple[int, int] | None = None

    @contextmanager
    def begin(self, kept: "Kept | None" = None) -> Iterator[Connection]:
        """A write transaction: commits at the end of the block, rolls back when it raises.

        On SQLite it holds the only write lock from the start, so it cannot fail half-way for
        another writer's sake. `kept` is for who writes again and again.
        """
        with mapped(), transaction(self._writer, kept) as conn:
            self._require_same_file()
            yield conn

    @contextmanager
    def read(self, kept: "Kept | None" = None) -> Iterator[Connection]:
        """One committed state of everything, unchanged until the block ends. Writes are refused."""
        with mapped(), transaction(self._reader, kept) as conn:
            self._require_same_file()
            yield conn

    def _require_same_file(self) -> None:
        """An open SQLite file can be deleted and made anew: we would go on writing to the old one.

        Then a change that another process made and acknowledged would never reach this one.
        """
        if self.dialect != "sqlite":
            return
        found = file_identity(self.url)
        if self._file is None:
            self._file = found
        elif found != self._file:
            raise StoreUnavailable(
                "the database file was removed or replaced while in use; restart this process"
            )

    def raw_writer(self) -> PoolProxiedConnection:
        """The driver's own connection, without a transaction; for `app.store.settled`. Close it."""
        return self._writer.raw_connection()

    def dispose(self) -> None:
        """Close every idle connection."""
        self._writer.dispose()
        self._reader.dispose()


def lock_registry(conn: Connection, *, exclusive: bool) -> None:
    """Until this transaction ends, the registry does not change (or, exclusive, is ours to change).

    SQLite: every write transaction is alone already. PostgreSQL: an advisory lock, which queues
    fairly; shared row locks could keep the one who revokes waiting for ever. What was committed
    before the lock was given is seen by the statements after it (READ COMMITTED).
    """
    if conn.info.get(ROW_LOCKS):
        conn.exec_driver_sql(
            f"SELECT version FROM registry FOR {'UPDATE' if exclusive else 'SHARE'}"  # noqa: S608 -- constants
        )
    elif conn.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock if exclusive else func.pg_advisory_xact_lock_shared
        conn.execute(select(lock(_REGISTRY_LOCK)))


def lock_admin_stream(conn: Connection) -> None:
    """Until this transaction ends, nobody else appends to the audit stream ``admin``."""
    _lock_alone(conn, _ADMIN_STREAM_LOCK)


def lock_holders(conn: Connection) -> None:
    """Until this transaction ends, nobody else claims a key. Take the registry's lock before it."""
    _lock_alone(conn, _HOLDERS_LOCK)


def _lock_alone(conn: Connection, key: int) -> None:
    if conn.info.get(ROW_LOCKS):
        # One row for all such locks. They are taken last, so that nobody waits in a circle.
        conn.exec_driver_sql("SELECT version_num FROM alembic_version FOR UPDATE")
    elif conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(key)))


def notify(conn: Connection, channel: str) -> None:
    """Tell whoever listens (`app.store.listening`) once this transaction is committed."""
    if conn.dialect.name == "postgresql" and not conn.info.get(ROW_LOCKS):
        conn.execute(select(func.pg_notify(channel, "")))


def allow_time(conn: Connection, seconds: int) -> None:
    """Let this transaction's statements take so long, not only `connect.PATIENCE`: for large values.

    Waiting for locks stays bounded. SQLite bounds nothing but the wait for its lock anyway.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.set_config("statement_timeout", f"{seconds}s", True)))
        if isinstance(driver := conn.connection.driver_connection, ImpatientConnection):
            driver.allow(seconds)


def insert_if_absent(conn: Connection, table: Table, values: Mapping[str, object]) -> bool:
    """Insert one row unless a unique index objects; True when it was inserted. Races: one wins."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing()
    # SQLAlchemy keeps the row count of an INSERT only on request; on PostgreSQL it is -1 else.
    return conn.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def insert_or_replace(
    conn: Connection, table: Table, values: Mapping[str, object], condition: ColumnElement[bool]
) -> bool:
    """Insert one row, or replace the one with its primary key where that meets the condition.

    One statement. True when the row is as given then.
    """
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    key = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in key}
    statement = insert(table).values(values)
    upsert = statement.on_conflict_do_update(
        index_elements=key,
        set_={name: statement.excluded[name] for name in changed},
        where=condition,
    )
    return conn.execute(upsert, execution_options={"preserve_rowcount": True}).rowcount == 1


@contextmanager
def mapped() -> Iterator[None]:
    """What the database cannot do now becomes `StoreUnavailable`; our own mistakes pass as they are."""
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("no free database connection") from error
    except DBAPIError as error:
        if _is_unavailable(error):
            lasting = _code(error) in _SQLITE_LASTING
            raise StoreUnavailable(str(error.orig), lasting=lasting) from error
        raise


def _code(error: DBAPIError) -> int | None:
    """SQLite's primary result code, the low byte; None for another database."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_unavailable(error: DBAPIError) -> bool:
    if (code := _code(error)) is not None:
        return code in _SQLITE_UNAVAILABLE
    if error.connection_invalidated or isinstance(error, OperationalError):
        return True
    return getattr(error.orig, "sqlstate", None) == _READ_ONLY_TRANSACTION
