"""The door to the database: private files, durable commits, readable failures."""

import stat
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from app.store import registry, tokens
from app.store.engine import Database, StoreUnavailable, insert_if_absent, lock_registry
from app.store.tables import trust_sets
from tests.kit.postgres import PostgresServer
from tests.store.decisions import token

TRUST_SET = {"name": "default", "description": "", "created_at": 1, "updated_at": 1}


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_sqlite_files_are_private(tmp_path: Path) -> None:
    """The database and the files beside it are the owner's alone, whatever the umask."""
    path = tmp_path / "new.db"
    db = Database(f"sqlite:///{path}")
    with db.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (a)")
        beside = [Path(f"{path}-wal"), Path(f"{path}-shm")]
        assert [mode(file) for file in (path, *beside)] == [0o600] * 3
    db.dispose()


def test_sqlite_commits_are_durable_and_checked(sqlite_url: str) -> None:
    """WAL, a sync at every commit, and foreign keys enforced, on each connection."""
    db = Database(sqlite_url)
    with db.begin() as conn:
        ask = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        }
    assert ask == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0}
    db.dispose()


def test_postgresql_commits_are_durable(postgres: PostgresServer, postgres_template: str) -> None:
    """A database set to lose its last commits is told otherwise."""
    name = postgres.create_database(postgres_template)
    url = postgres.url(name)
    db = Database(url)
    with db.begin() as conn:
        conn.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit TO off")
    db.dispose()
    with db.begin() as conn:
        assert conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    db.dispose()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true", "mysql://localhost/x"],
)
def test_other_databases_are_refused(url: str) -> None:
    """Memory would lose records; other engines were never tried."""
    with pytest.raises(ValueError, match="database_url"):
        Database(url)


def test_a_postgresql_url_needs_no_driver_name(postgres: PostgresServer) -> None:
    """``postgresql://`` means psycopg too."""
    db = Database(postgres.url("postgres").replace("postgresql+psycopg", "postgresql"))
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT 1").scalar() == 1
    db.dispose()


def test_options_of_the_operator_are_kept(postgres: PostgresServer) -> None:
    """Settings in the URL win over ours, and ours stay where it has none."""
    db = Database(postgres.url("postgres") + "&options=-c%20lock_timeout%3D77")
    with db.read() as conn:
        assert conn.exec_driver_sql("SHOW lock_timeout").scalar() == "77ms"
        assert conn.exec_driver_sql("SHOW statement_timeout").scalar() == "2s"
    db.dispose()


def test_a_reader_cannot_write(db: Database) -> None:
    """`read` refuses what its name does not say."""
    with pytest.raises((DBAPIError, StoreUnavailable)), db.read() as conn:
        insert_if_absent(conn, trust_sets, TRUST_SET)
    with db.begin() as conn:
        assert insert_if_absent(conn, trust_sets, TRUST_SET)


def test_a_reader_sees_one_state(db: Database) -> None:
    """What is committed meanwhile does not show until the block ends."""
    with db.read() as conn:
        before = registry.version(conn)
        with registry.change(db):
            pass
        assert registry.version(conn) == before
    with db.read() as conn:
        assert registry.version(conn) == before + 1


def test_a_raising_block_keeps_nothing(db: Database) -> None:
    """Whatever the block raised arrives unchanged, and its writes are gone."""

    def insert_and_fail() -> None:
        with db.begin() as conn:
            insert_if_absent(conn, trust_sets, TRUST_SET)
            raise LookupError

    with pytest.raises(LookupError):
        insert_and_fail()
    with db.begin() as conn:
        assert insert_if_absent(conn, trust_sets, TRUST_SET)


def test_insert_if_absent_has_one_winner(db: Database) -> None:
    """Sixteen threads, one row: one of them made it, and none got an error."""
    barrier = threading.Barrier(16)
    won: list[bool] = []

    def insert() -> None:
        barrier.wait()
        with db.begin() as conn:
            won.append(insert_if_absent(conn, trust_sets, TRUST_SET))

    threads = [threading.Thread(target=insert) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 127, 300])
def test_rows_arrive_in_any_number(db: Database, count: int) -> None:
    """The statements of 2^n rows add up."""
    rows = [token() for _ in range(count)]
    with db.begin() as conn:
        tokens.insert_many(conn, rows)
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar() == count
        assert all(tokens.find(conn, row.jti) == row for row in rows)


def test_an_error_does_not_carry_values(db: Database) -> None:
    """What a client sent does not reach a log by way of a database error's text."""
    twice = token(scope="canary")
    with pytest.raises(DBAPIError) as caught, db.begin() as conn:
        tokens.insert_many(conn, [twice, twice])
    assert "canary" not in str(caught.value)


def test_a_missing_directory_is_unavailability(tmp_path: Path) -> None:
    """No crash and no stack of a driver: the store cannot be had."""
    db = Database(f"sqlite:///{tmp_path / 'absent' / 'certbound.db'}")
    with pytest.raises(StoreUnavailable), db.read():
        pass


def test_a_server_that_is_not_there_is_unavailability(tmp_path: Path) -> None:
    """The same for PostgreSQL, at once."""
    db = Database(f"postgresql+psycopg://nobody@/x?host={tmp_path}")
    start = time.monotonic()
    with pytest.raises(StoreUnavailable), db.begin():
        pass
    assert time.monotonic() - start < 30


def test_a_lost_connection_heals(postgres: PostgresServer, postgres_template: str) -> None:
    """A server that cut us off is asked again; no restart is needed."""
    db = Database(postgres.url(postgres.create_database(postgres_template)))
    other = Database(str(db.url))

    def lose_it() -> None:
        with db.begin() as conn:
            pid = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            with other.begin() as killer:
                killer.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            lock_registry(conn, exclusive=False)

    with pytest.raises(StoreUnavailable):
        lose_it()
    with db.begin() as conn:
        assert registry.version(conn) == 1
    db.dispose()
    other.dispose()


def test_a_crowd_waits_its_turn(db: Database) -> None:
    """More threads than pooled connections: everybody gets through."""
    done: list[int] = []

    def change() -> None:
        for _ in range(3):
            with registry.change(db) as conn:
                done.append(registry.version(conn))

    threads = [threading.Thread(target=change) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(1, 61))


def test_a_replaced_file_is_unavailability(tmp_path: Path) -> None:
    """A process never goes on with a file that others can no longer see."""
    path = tmp_path / "certbound.db"
    db = Database(f"sqlite:///{path}")
    with db.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (x)")
    path.unlink()
    with pytest.raises(StoreUnavailable, match="restart"), db.read():
        pass
    path.touch()
    with pytest.raises(StoreUnavailable, match="restart"), db.begin():
        pass
