"""How connections are made: private files, durable commits, bounded waits, one kind per purpose.

A reading connection refuses to write. A writing one makes every commit durable before it returns.
None waits for ever for a server that is silent (`app.store.impatient`).
"""

import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from app.store.impatient import ImpatientConnection

ROW_LOCKS = "certbound_row_locks"
"""In `Connection.info`: the engine has no advisory locks that we may trust, and no notices."""
_LOCKS = "certbound_locks"
"""Parameter of the URL: ``rows`` says so of an engine that looks like PostgreSQL."""

PATIENCE = 2
"""Seconds to wait for a lock, a connection or a pool place: clients get their 503 within two."""


def accepted(url: str) -> URL:
    """The URL with its driver; `ValueError` for anything but a SQLite file or PostgreSQL."""
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


def file_identity(url: URL) -> tuple[int, int] | None:
    """Which file a SQLite URL names at this moment; None: none."""
    try:
        found = os.stat(str(url.database))  # noqa: PTH116 - with each transaction: pathlib doubles it
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_engine(url: URL, *, read_only: bool, patience: float | None = None) -> Engine:
    """A pool of connections of one kind, made on first use.

    `patience` is how many seconds a writer waits for SQLite's lock, `PATIENCE` where none is given;
    PostgreSQL has its own limits.
    """
    # A process has one writer thread and few readers; the bound is there for bursts.
    shared: dict[str, Any] = {
        "pool_size": 5,
        "max_overflow": 0,
        "pool_timeout": PATIENCE,
        "pool_use_lifo": True,
        "hide_parameters": True,  # an error text must not carry what a client sent
    }
    if url.get_backend_name() == "sqlite":
        seconds = PATIENCE if patience is None else patience
        return _sqlite(url, shared, read_only=read_only, patience=seconds)
    return _postgresql(url, shared, read_only=read_only)


def _sqlite(url: URL, shared: dict[str, Any], *, read_only: bool, patience: float) -> Engine:
    path = Path(str(url.database))
    # isolation_level None: the driver starts no transaction by itself. Left alone it would begin
    # a deferred one before the first write, which can fail busy at once when it wants to upgrade.
    connect_args = {"isolation_level": None, "timeout": patience}
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

    event.listen(engine, "begin", _begin_read if read_only else partial(_begin_write, patience))
    return engine


def _begin_read(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN")


def _begin_write(patience: float, conn: Connection) -> None:
    """Take SQLite's write lock, asking every half millisecond.

    SQLite's own wait sleeps up to 100 ms between tries, so that a process that just released the
    lock takes it again and again before one that waits.
    """
    driver = cast("sqlite3.Connection", conn.connection.driver_connection)
    until = time.monotonic() + patience
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
        # A node that vanished without a word: while we send, and while we only wait.
        "tcp_user_timeout": limit,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "certbound",
        "options": f"{own} {url.query.get('options', '')}",  # what the operator set wins
    }
    by_rows = url.query.get(_LOCKS) == "rows"
    engine = create_engine(
        url.difference_update_query(["options", _LOCKS]),
        connect_args=connect_args,
        # A writer must see what was committed while it waited for a lock; a reader must not.
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        **shared,
    )

    @event.listens_for(engine, "do_connect")
    def _impatient(_dialect: object, _record: object, words: Any, named: Any) -> Any:
        return ImpatientConnection.connect(*words, **named)

    @event.listens_for(engine, "connect")
    def _learn(driver: ImpatientConnection, _record: ConnectionPoolEntry) -> None:
        driver.learn()
        driver.commit()

    @event.listens_for(engine, "begin")
    def _forget(conn: Connection) -> None:
        # What the transaction before it was allowed; a thread may keep its connection.
        cast("ImpatientConnection", conn.connection.driver_connection).forget()

    if read_only:
        return engine.execution_options(postgresql_readonly=True)

    @event.listens_for(engine, "connect")
    def _durable(driver: ImpatientConnection, record: ConnectionPoolEntry) -> None:
        # A server or role set to lose the last commits in a crash would break promise 2.
        driver.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        name = str((driver.execute("SELECT version()").fetchone() or [""])[0])
        record.info[ROW_LOCKS] = by_rows or not name.startswith("PostgreSQL ") or "-YB-" in name
        driver.commit()

    return engine
