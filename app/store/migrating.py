"""Where migrations run: on the database, one process at a time, or on an empty one for a plan."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event, func, inspect, select

from app.store.connect import ROW_LOCKS, accepted, make_engine
from app.store.engine import allow_time, lock_registry, mapped

_MIGRATION_LOCK = 0x63657274626E6403
"""The third of the advisory locks, see `app.store.engine`."""

_PATIENCE = 60
"""Seconds to wait for another process's migration, as long as one may take."""


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """The transaction for migrations: one process at a time, waits bounded, foreign keys checked.

    SQLite enforces foreign keys only at the end here, because altering a table there means dropping
    it, and that would cascade. Servers that run commit before or after, never in between: they lock
    the registry first as well, so nobody waits in a circle for tables. Raises `StoreUnavailable`, or `ValueError` where a key dangles.
    """
    parsed = accepted(url)
    engine = make_engine(parsed, read_only=False, patience=_PATIENCE)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys=OFF"))
    try:
        with mapped(), engine.begin() as conn:
            if engine.dialect.name == "postgresql":
                # Wait for another node's migration as long as one may take; after that, for a table
                # in use only shortly: whoever waits for us queues up behind.
                allow_time(conn, _PATIENCE)
                conn.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
                if not conn.info.get(ROW_LOCKS):
                    conn.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                conn.exec_driver_sql("SET LOCAL lock_timeout = '4s'")
            if inspect(conn).has_table("registry"):
                lock_registry(conn, exclusive=True)
            yield conn
            if engine.dialect.name == "sqlite" and (
                dangling := conn.exec_driver_sql("PRAGMA foreign_key_check").all()
            ):
                raise ValueError(f"migration leaves foreign keys without a row: {dangling}")
    finally:
        engine.dispose()


@contextmanager
def scratch(url: str) -> Iterator[Connection]:
    """An empty database of the same kind, gone afterwards: what is tried in it touches no table.

    PostgreSQL: the schema of temporary tables, in a transaction that is rolled back; needs the right
    to make temporary tables there. SQLite: a file in a directory of its own.
    """
    parsed = accepted(url)
    with tempfile.TemporaryDirectory(prefix="certbound-plan-") as folder:
        if parsed.get_backend_name() == "sqlite":
            parsed = parsed.set(database=f"{folder}/plan.db")
        engine = make_engine(parsed, read_only=False)
        try:
            with mapped(), engine.connect() as conn, conn.begin() as transaction:
                if engine.dialect.name == "postgresql":
                    conn.exec_driver_sql("SET LOCAL search_path = pg_temp")
                yield conn
                transaction.rollback()
        finally:
            engine.dispose()
