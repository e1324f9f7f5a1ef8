"""PostgreSQL freezes and never comes back; another takes over its address: the server goes on."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.store import schema
from app.store.connect import PATIENCE
from app.store.engine import Database, StoreUnavailable, allow_time
from app.store.impatient import GRACE, ImpatientConnection
from tests.kit import timing
from tests.kit.crew import eventually
from tests.kit.postgres import PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.relay import Relay
from tests.kit.running import running
from tests.kit.steady import Steady

WITHIN = 5.0
"""Seconds from the moment that a database answers to the first token: the promise."""
NOISE = 10.0
"""Seconds more that a busy machine may take for handshakes and answers."""
SOCKET = ".s.PGSQL.5432"


@pytest.fixture
def relay(primary: PostgresServer) -> Iterator[Relay]:
    """An address that leads to the primary."""
    with Relay(primary.folder / SOCKET).running() as relay:
        yield relay


def url_of(relay: Relay, database: str) -> str:
    """The database behind the address; the relay speaks no TLS."""
    return f"postgresql+psycopg://certbound@127.0.0.1:{relay.port}/{database}?sslmode=disable"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_another_takes_over_the_address(
    primary: PostgresServer, relay: Relay, home: Path, workers: str
) -> None:
    """Frozen under load, its connections never closed: tokens again, and what was given is recorded.

    The replica has whatever was acknowledged; where it lacks some, the audit shows the gap for good.
    """
    name = primary.create_database()
    schema.upgrade(primary.url(name))
    replica = primary.standby()
    try:
        primary.replicate()
        with running(home, database_url=url_of(relay, name), workers=workers) as server:
            load = Steady([server], threads=6)
            with load.running():
                load.wait(100)
                primary.signal_all(signal.SIGSTOP)
                eventually(lambda: timing.timed(server, "GET", "/readyz").status == 503)
                answer = timing.token(server)
                assert (answer.status, answer.retry_after) == (503, "2")
                before = len(load.received)
                replica.promote()
                relay.target = replica.folder / SOCKET
                took = timing.until_tokens(server)
                print(f"tokens again {took:.1f} s after another answered")  # noqa: T201 - for the record
                assert took < WITHIN + NOISE
                load.wait(50)
            eventually(lambda: timing.timed(server, "GET", "/readyz").status == 200)
            assert set(load.others) <= {(503, "2")}
            assert (load.broken, load.refused) == ([], 0)
        assert len(load.received) > before
        assert_recorded(replica.url(name), load.received)
    finally:
        replica.stop()


def test_it_thaws(primary: PostgresServer, relay: Relay, home: Path) -> None:
    """Frozen for longer than connections are waited for, then back: nothing acknowledged is lost."""
    name = primary.create_database()
    schema.upgrade(primary.url(name))
    with running(home, database_url=url_of(relay, name)) as server:
        load = Steady([server], threads=6)
        with load.running():
            load.wait(50)
            primary.signal_all(signal.SIGSTOP)
            time.sleep(2 * (PATIENCE + GRACE) + 1)
            primary.signal_all(signal.SIGCONT)
            assert timing.until_tokens(server) < WITHIN + NOISE
            load.wait(50)
        assert set(load.others) <= {(503, "2")}
    assert_recorded(primary.url(name), load.received)


def driver_of(db: Database) -> ImpatientConnection:
    """The driver's connection of one transaction, over by then."""
    with db.begin() as conn:
        driver = conn.connection.driver_connection
    assert isinstance(driver, ImpatientConnection)
    return driver


def test_how_long_is_waited(primary: PostgresServer, relay: Relay) -> None:
    """As long as the server allows, and a second: ours, the operator's, or one transaction's own."""
    name = primary.create_database()
    db = Database(url_of(relay, name))
    assert driver_of(db).allowed == PATIENCE + GRACE
    with db.begin() as conn:
        allow_time(conn, 30)
        assert conn.connection.driver_connection is not None
        assert conn.connection.driver_connection.allowed == 30 + GRACE
    assert driver_of(db).allowed == PATIENCE + GRACE
    for setting, seconds in (("4500ms", 4.5), ("2min", 120.0)):
        theirs = Database(f"{url_of(relay, name)}&options=-c%20statement_timeout%3D{setting}")
        assert driver_of(theirs).allowed == seconds + GRACE
        theirs.dispose()
    patient = Database(f"{url_of(relay, name)}&options=-c%20statement_timeout%3D0")
    assert driver_of(patient).allowed is None
    patient.dispose()
    primary.signal_all(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="given up"), db.begin() as conn:
        conn.exec_driver_sql("SELECT 1")
    primary.signal_all(signal.SIGCONT)
    with db.begin() as conn:
        assert conn.exec_driver_sql("SELECT 1").scalar() == 1
    db.dispose()


def test_a_slow_statement_is_the_servers_to_end(primary: PostgresServer, relay: Relay) -> None:
    """What takes too long at a server that lives is ended there, and the connection is kept."""
    db = Database(url_of(relay, primary.create_database()))
    driver = driver_of(db)
    with pytest.raises(StoreUnavailable, match="statement timeout"), db.begin() as conn:
        conn.exec_driver_sql("SELECT pg_sleep(60)")
    assert not driver.closed
    assert driver_of(db) is driver
    db.dispose()


def test_what_trickles_is_waited_for(relay: Relay) -> None:
    """Silence is counted, not time: a long answer that keeps coming is no silence."""
    with ImpatientConnection.connect(
        f"host=127.0.0.1 port={relay.port} user=certbound dbname=postgres sslmode=disable"
    ) as conn:
        conn.allowed = 1.0
        rows = conn.execute("SELECT repeat('x', 3000), pg_sleep(0.02) FROM generate_series(1, 150)")
        assert len(rows.fetchall()) == 150
        with pytest.raises(psycopg.OperationalError, match="no answer in 1 seconds"):
            conn.execute("SELECT pg_sleep(30)")
        assert conn.closed
