"""A connection that one thread keeps: what it must do like any other, and how it heals."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from app.store import registry
from app.store.engine import Database, StoreUnavailable, insert_if_absent
from app.store.kept import Kept
from app.store.patience import TICK, Watch
from app.store.rows import execute
from app.store.tables import trust_sets
from tests.kit.postgres import PostgresServer

TRUST_SET = {"name": "default", "description": "", "created_at": 1, "updated_at": 1}


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Closed in the end."""
    made = Kept()
    yield made
    made.close()


def insert(conn: Connection) -> bool:
    """Whether the row was not there."""
    return insert_if_absent(conn, trust_sets, TRUST_SET)


def test_what_raises_keeps_nothing_and_disturbs_nothing(db: Database, kept: Kept) -> None:
    """The block's error arrives unchanged, its writes are gone, the next transaction is a good one."""

    def insert_and_fail() -> None:
        with db.begin(kept) as conn:
            assert insert(conn)
            raise LookupError

    for _ in range(8):  # more than the pool has connections
        with pytest.raises(LookupError):
            insert_and_fail()
    with db.begin(kept) as conn:
        assert insert(conn)
    with db.begin(kept) as conn:
        assert not insert(conn), "committed"


def test_each_transaction_sees_what_was_committed_before(db: Database, kept: Kept) -> None:
    """Nothing of one transaction's sight is kept for the next."""
    for expected in range(1, 4):
        with db.read(kept) as conn:
            assert registry.version(conn) == expected
        with registry.change(db):
            pass


def test_a_connection_lost_in_between_heals(
    postgres: PostgresServer, postgres_template: str, kept: Kept
) -> None:
    """One transaction fails, as unavailability; the next has another connection."""
    db = Database(postgres.url(postgres.create_database(postgres_template)))
    with db.begin(kept) as conn:
        ((pid,),) = execute(conn, "SELECT pg_backend_pid()")
    with db.begin() as killer:
        killer.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(StoreUnavailable), db.begin(kept) as conn:
        registry.version(conn)
    with db.begin(kept) as conn:
        assert registry.version(conn) == 1
    kept.close()
    db.dispose()


def test_it_may_be_given_back_after_its_pool(sqlite_url: str, kept: Kept) -> None:
    """A thread that ends last leaves no open connection behind."""
    db = Database(sqlite_url)
    with db.begin(kept) as conn:
        driver = conn.connection.driver_connection
        assert registry.version(conn) == 1
    db.dispose()
    kept.close()
    assert driver is not None
    with pytest.raises(Exception, match="closed"):
        driver.execute("SELECT 1")


class _Waiter:
    """One who waits."""

    def __init__(self) -> None:
        self.gave_up = False

    def give_up(self) -> None:
        """As wanted."""
        assert not self.gave_up
        self.gave_up = True


def test_who_waits_too_long_is_told_and_nobody_else() -> None:
    """Once, though all share one timer; and again for who comes when nobody was there."""

    async def scenario() -> None:
        watch = Watch(asyncio.get_running_loop())
        for _ in range(2):
            late, served, patient = _Waiter(), _Waiter(), _Waiter()
            now = watch.loop.time()
            watch.add(late, now)
            watch.add(served, now)
            watch.add(patient, now + 3600)
            watch.remove(served)
            while not late.gave_up:  # noqa: ASYNC110 - it tells by what it did
                await asyncio.sleep(TICK / 5)
            watch.remove(late)
            watch.remove(patient)
            await asyncio.sleep(2 * TICK)
            assert not served.gave_up
            assert not patient.gave_up

    asyncio.run(asyncio.wait_for(scenario(), 60))
