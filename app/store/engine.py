"""The one door to the database, and the only place where SQLite and PostgreSQL differ.

Guarantees: what `Database.begin` commits is on disk when it returns, whole or not at all; a read
sees one committed state; a database that cannot answer raises `StoreUnavailable` within about
`PATIENCE` seconds per statement and heals without a restart.

Not guaranteed: anything on an engine without advisory locks, other than SQLite. `lock_registry` is
the one function to change for such an engine (serializable isolation instead).
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

PATIENCE = 2
"""Seconds to wait for a lock, a connection or a pool place: clients get their 503 within two."""

# Keys of PostgreSQL's advisory locks: "certbnd" in ASCII and a number. They live in one namespace
# per database, so they only have to differ from what else uses this database.
_REGISTRY_LOCK = 0x63657274626E6401
_ADMIN_STREAM_LOCK = 0x63657274626E6402
_MIGRATION_LOCK = 0x63657274626E6403

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

_READ_ONLY_TRANSACTION = "25006"
"""SQLSTATE of a write on a standby: a failover is under way."""


class StoreUnavailable(Exception):
    """The database cannot take or give this now; nothing of the transaction was kept.

    One doubt remains on PostgreSQL: a connection lost during COMMIT may have committed.
    """


class Database:
    """One database, by SQLAlchemy URL; threads share it. Connections are made on first use.

    Raises `ValueError` for a URL that is neither a SQLite file nor PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = _accepted(url)
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        self._writer = _engine(self.url, read_only=False)
        self._reader = _engine(self.url, read_only=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: commits at the end of the block, rolls back when it raises.

        On SQLite it holds the only write lock from the start, so it cannot fail half-way for
        another writer's sake.
        """
        with _mapped(), self._writer.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One committed state of everything, unchanged until the block ends. Writes are refused."""
        with _mapped(), self._reader.connect() as conn, conn.begin():
            yield conn

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
    if conn.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock if exclusive else func.pg_advisory_xact_lock_shared
        conn.execute(select(lock(_REGISTRY_LOCK)))


def lock_admin_stream(conn: Connection) -> None:
    """Until this transaction ends, nobody else appends to the audit stream ``admin``."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_ADMIN_STREAM_LOCK)))


def insert_if_absent(conn: Connection, table: Table, values: Mapping[str, object]) -> bool:
    """Insert one row unless a unique index objects; True when it was inserted. Races: one wins."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing()
    # SQLAlchemy keeps the row count of an INSERT only on request; on PostgreSQL it is -1 else.
    return conn.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def insert_rows(conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows given in the table's column order, as values the driver takes as they are.

    Several rows go in one statement of 2^n rows: each statement gives up the interpreter lock a few
    times, and under load each return costs up to a switch interval; executemany steps row by row.
    The powers keep the number of different statements small, so that they stay prepared.
    """
    start = 0
    while left := len(rows) - start:
        size = min(1 << (left.bit_length() - 1), 128)
        values = tuple(value for row in rows[start : start + size] for value in row)
        conn.exec_driver_sql(_insert_text(table, size, conn.dialect.name), values)
        start += size


@cache
def _insert_text(table: Table, size: int, dialect: str) -> str:
    mark = "%s" if dialect == "postgresql" else "?"
    row = "(" + ", ".join([mark] * len(table.columns)) + ")"
    names = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([row] * size)}"  # noqa: S608 -- names from tables.py, values are parameters


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """The transaction for migrations: one process at a time, waits bounded, foreign keys checked.

    SQLite enforces foreign keys only at the end here, because altering a table there means dropping
    it, and that would cascade. Raises `StoreUnavailable`, or `ValueError` where a key dangles.
    """
    parsed = _accepted(url)
    engine = _engine(parsed, read_only=False)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys=OFF"))
    try:
        with _mapped(), engine.begin() as conn:
            if engine.dialect.name == "postgresql":
                # Wait for another node's migration as long as one may take; after that, for a table
                # in use only shortly: whoever waits for us queues up behind.
                conn.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
                conn.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
                conn.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                conn.exec_driver_sql("SET LOCAL lock_timeout = '4s'")
            yield conn
            if engine.dialect.name == "sqlite" and (
                dangling := conn.exec_driver_sql("PRAGMA foreign_key_check").all()
            ):
                raise ValueError(f"migration leaves foreign keys without a row: {dangling}")
    finally:
        engine.dispose()


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("no free database connection") from error
    except DBAPIError as error:
        if _is_unavailable(error):
            raise StoreUnavailable(str(error.orig)) from error
        raise


def _is_unavailable(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_UNAVAILABLE  # the low byte is the primary code
    if error.connection_invalidated or isinstance(error, OperationalError):
        return True
    return getattr(error.orig, "sqlstate", None) == _READ_ONLY_TRANSACTION


def _accepted(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:  # its text may quote the URL, and so a password
        raise ValueError("database_url: cannot be read as a SQLAlchemy URL") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ValueError(f"database_url: {backend} is not supported; use sqlite or postgresql")
    if parsed.database in {None, "", ":memory:"} or str(parsed.database).startswith("file:"):
        raise ValueError("database_url: SQLite needs a file path; memory would lose every record")
    return parsed.set(drivername="sqlite+pysqlite")


def _engine(url: URL, *, read_only: bool) -> Engine:
    # A process has one writer thread and few readers; the bound is there for bursts.
    shared: dict[str, Any] = {
        "pool_size": 5,
        "max_overflow": 0,
        "pool_timeout": PATIENCE,
        "pool_use_lifo": True,
        "hide_parameters": True,  # an error text must not carry what a client sent
    }
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, shared, read_only=read_only)
    return _postgresql(url, shared, read_only=read_only)


def _sqlite(url: URL, shared: dict[str, Any], *, read_only: bool) -> Engine:
    path = Path(str(url.database))
    # isolation_level None: the driver starts no transaction by itself. Left alone it would begin
    # a deferred one before the first write, which can fail busy at once when it wants to upgrade.
    connect_args = {"isolation_level": None, "timeout": PATIENCE}
    engine = create_engine(url, connect_args=connect_args, **shared)

    @event.listens_for(engine, "do_connect")
    def _create_private(*_: object) -> None:
        # SQLite would make the file by the umask; -wal and -shm take over the mode of the file.
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError:
            return  # it exists, or SQLite will say better what is wrong

    @event.listens_for(engine, "connect")
    def _configure(driver: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # WAL's default on some builds is NORMAL: loses the last commits
            "foreign_keys=ON",
            "trusted_schema=OFF",
            "journal_size_limit=67108864",  # a burst's WAL file shrinks to 64 MiB afterwards
            f"query_only={'ON' if read_only else 'OFF'}",
            f"busy_timeout={PATIENCE * 1000 if read_only else 0}",  # writers: see _begin_write
        ):
            driver.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "begin", _begin_read if read_only else _begin_write)
    return engine


def _begin_read(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN")


def _begin_write(conn: Connection) -> None:
    """Take SQLite's write lock, asking every half millisecond.

    SQLite's own wait sleeps up to 100 ms between tries, so that a process that just released the
    lock takes it again and again before one that waits.
    """
    driver = cast("sqlite3.Connection", conn.connection.driver_connection)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
            time.sleep(0.0005)
        else:
            return
    conn.exec_driver_sql("BEGIN IMMEDIATE")  # one last time, for the error in SQLAlchemy's words


def _postgresql(url: URL, shared: dict[str, Any], *, read_only: bool) -> Engine:
    limit = PATIENCE * 1000
    settings = {
        "lock_timeout": limit,
        "statement_timeout": limit,
        # Between two statements we may build a registry, never wait for anybody.
        "idle_in_transaction_session_timeout": 30_000,
    }
    own = " ".join(f"-c {name}={value}" for name, value in settings.items())
    connect_args = {
        "connect_timeout": PATIENCE,
        "tcp_user_timeout": limit,  # a node that vanished without a word
        "application_name": "certbound",
        "options": f"{own} {url.query.get('options', '')}",  # what the operator set wins
    }
    engine = create_engine(
        url.difference_update_query(["options"]),
        connect_args=connect_args,
        # A writer must see what was committed while it waited for a lock; a reader must not.
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        **shared,
    )
    if read_only:
        return engine.execution_options(postgresql_readonly=True)

    @event.listens_for(engine, "connect")
    def _durable(driver: psycopg.Connection, _record: ConnectionPoolEntry) -> None:
        # A server or role set to lose the last commits in a crash would break promise 2.
        driver.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        driver.commit()

    return engine
