"""The primary goes, its synchronous replica takes over: nothing acknowledged is lost."""

import signal
from pathlib import Path

import psycopg

from app.store import schema
from tests.kit import figures, timing
from tests.kit.crew import eventually
from tests.kit.postgres import REPLICATED, PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.running import running
from tests.kit.steady import Steady


def test_a_replica_takes_over(primary: PostgresServer, home: Path) -> None:
    """SIGKILL for the primary under load; the server goes on with the replica, by itself."""
    name = primary.create_database()
    schema.upgrade(primary.url(name))
    replica = primary.standby()
    try:
        primary.end(signal.SIGINT)
        primary.settings.update(REPLICATED)
        primary.start()
        eventually(lambda: _replicates(primary))
        hosts = f"{primary.folder},{replica.folder}"
        url = f"postgresql+psycopg://certbound@/{name}?host={hosts}&target_session_attrs=read-write"
        with running(home, database_url=url) as server:
            load = Steady([server], threads=6)
            with load.running():
                load.wait(100)
                primary.crash()
                received = len(load.received)
                replica.promote()
                took = timing.until_tokens(server)
                figures.tell(
                    "failover",
                    f"tokens again {took:.1f} s after the replica was promoted, "
                    f"{received} given before",
                )
                load.wait(50)
            assert set(load.others) <= {(503, "2")}
            assert load.broken == []
        assert_recorded(replica.url(name), load.received)
    finally:
        replica.stop()


def _replicates(primary: PostgresServer) -> bool:
    with psycopg.connect(primary.dsn("postgres")) as conn:
        row = conn.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
        return row.fetchone() == (1,)
