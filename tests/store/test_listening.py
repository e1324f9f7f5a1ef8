"""Registry changes are heard of at once on PostgreSQL, and only for comfort."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.store import registry
from app.store.engine import Database
from app.store.listening import Listening
from app.store.registry import Snapshots
from tests.kit.postgres import PostgresServer
from tests.store.decisions import View, view

LONG = 30.0
"""Seconds after which even a loaded machine must have heard."""


@contextmanager
def following(db: Database) -> Iterator[tuple[Snapshots[View], threading.Semaphore]]:
    """A snapshot that nothing refreshes but notices; the semaphore counts refreshes."""
    snapshots, heard = Snapshots(db, view), threading.Semaphore(0)

    def changed() -> None:
        snapshots.refresh()
        heard.release()

    listening = Listening(db, changed)
    listening.start()
    try:
        yield snapshots, heard
    finally:
        listening.close()


def raise_version(url: str) -> int:
    """What another process does; the new version."""
    other = Database(url)
    with registry.change(other) as conn:
        now = registry.version(conn) + 1
    other.dispose()
    return now


@pytest.fixture
def url(postgres: PostgresServer, postgres_template: str) -> str:
    """A PostgreSQL database of the test's own: SQLite tells nobody of changes."""
    return postgres.url(postgres.create_database(postgres_template))


@pytest.fixture
def postgresql(url: str) -> Iterator[Database]:
    """The same, open."""
    database = Database(url)
    yield database
    database.dispose()


def test_a_change_is_heard_of(postgresql: Database, url: str) -> None:
    """The snapshot follows without anybody looking."""
    with following(postgresql) as (snapshots, heard):
        assert heard.acquire(timeout=LONG), "it looks once when it begins to listen"
        for _ in range(3):
            now = raise_version(url)
            assert heard.acquire(timeout=LONG)
            assert snapshots.current.version == now


def test_a_flood_of_notices_is_few_looks(postgresql: Database, url: str) -> None:
    """Any account may send them, with whatever text; the database is not asked for each."""
    with following(postgresql) as (snapshots, heard):
        assert heard.acquire(timeout=LONG)
        with postgresql.begin() as conn:
            conn.exec_driver_sql(
                f"SELECT pg_notify('{registry.CHANNEL}', n || repeat('x', 4000))"  # noqa: S608 - ours
                " FROM generate_series(1, 2000) AS n"
            )
        assert heard.acquire(timeout=LONG)
        now, looks = raise_version(url), 1
        while snapshots.current.version < now:
            assert heard.acquire(timeout=LONG)
            looks += 1
        assert looks < 100


def test_a_lost_connection_is_made_anew(postgresql: Database, url: str) -> None:
    """What changed while nobody listened is seen after it."""
    with following(postgresql) as (snapshots, heard):
        assert heard.acquire(timeout=LONG)
        with postgresql.begin() as conn:
            conn.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
            )
        now = raise_version(url)
        assert heard.acquire(timeout=LONG)
        assert snapshots.current.version == now
        now = raise_version(url)
        assert heard.acquire(timeout=LONG)


def test_sqlite_starts_nothing(sqlite_url: str) -> None:
    """There is nothing to listen to, and nothing to wait for at the end."""
    db = Database(sqlite_url)
    before = set(threading.enumerate())
    with following(db):
        assert set(threading.enumerate()) <= before
    db.dispose()
