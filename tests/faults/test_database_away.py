"""The database is not there, stops, or answers late: 503 soon, what needs none served, healed alone."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.kit import crew, figures, timing
from tests.kit.crew import eventually
from tests.kit.postgres import PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady

WITHIN = 2.0
"""Seconds within which a client hears that the database does not answer."""
NOISE = 3.0
"""Seconds more that a busy machine may take for a handshake and an answer, at best of three."""
AGAIN = 5.0 + 10.0
"""Seconds to the first token after the database answers: what is promised, and a busy machine."""
METADATA = "/.well-known/oauth-authorization-server"


def assert_unavailable(server: Running) -> None:
    """503 with Retry-After in time, and what needs no database is served."""
    answers = [timing.token(server) for _ in range(3)]
    for answer in answers:
        assert (answer.status, answer.retry_after) == (503, "2")
        assert b"temporarily_unavailable" in answer.body
    assert min(answer.seconds for answer in answers) < WITHIN + NOISE
    for path in (METADATA, "/jwks", "/livez"):
        assert timing.timed(server, "GET", path).status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_not_there_at_the_start(
    cluster: PostgresServer, cluster_url: str, home: Path, workers: str
) -> None:
    """The server is alive, not ready, says so once, and begins when the database answers."""
    certbound(home, "quickstart", environment={"CERTBOUND_DATABASE_URL": cluster_url})
    cluster.end(signal.SIGQUIT)
    with running(
        home, quickstart=False, wait=False, database_url=cluster_url, workers=workers
    ) as server:
        eventually(lambda: "store.unavailable" in server.log, lambda: server.log)
        eventually(lambda: _asks(server, "/livez") == 200)
        time.sleep(2.5)  # it tried again meanwhile
        assert _asks(server, "/readyz") == 503
        answer = timing.token(server)
        assert (answer.status, answer.retry_after) == (503, "2")
        assert "listening on" not in server.log
        assert server.log.count("store.unavailable") == 1
        cluster.start()
        took = timing.until_tokens(server)
        eventually(lambda: _asks(server, "/readyz") == 200)
        eventually(lambda: "listening on" in server.log)
        figures.tell("not there at the start", f"began {took:.1f} s after it answered")


def _asks(server: Running, path: str) -> int:
    """The status, 0 where nobody listens yet."""
    try:
        return timing.timed(server, "GET", path).status
    except httpx2.ConnectError:
        return 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_under_load(
    cluster: PostgresServer, cluster_url: str, home: Path, workers: str
) -> None:
    """SIGKILL for PostgreSQL: nothing acknowledged is lost, and without a restart it goes on."""
    with running(home, database_url=cluster_url, workers=workers) as server:
        load = Steady([server], threads=6)
        with load.running():
            for _ in range(2):
                cluster.crash()
                assert_unavailable(server)
                eventually(lambda: timing.timed(server, "GET", "/readyz").status == 503)
                cluster.start()
                took = timing.until_tokens(server)
                figures.tell("PostgreSQL killed", f"tokens again {took:.1f} s after it answered")
                assert took < AGAIN
                load.wait(20)
        assert set(load.others) == {(503, "2")}
        assert (load.broken, load.refused) == ([], 0)
    assert_recorded(cluster_url, load.received)


def test_slow_under_load(cluster: PostgresServer, cluster_url: str, home: Path) -> None:
    """No answer for seven seconds: each client hears within two; afterwards all is as it was."""
    with running(home, database_url=cluster_url) as server:
        load = Steady([server], threads=6)
        with load.running():
            cluster.signal_all(signal.SIGSTOP)
            try:
                until = time.monotonic() + 7
                assert_unavailable(server)
                while time.monotonic() < until:
                    answer = timing.token(server)
                    assert (answer.status, answer.retry_after) == (503, "2")
                assert timing.timed(server, "GET", "/readyz").status == 503
            finally:
                cluster.signal_all(signal.SIGCONT)
            took = timing.until_tokens(server)
            figures.tell("PostgreSQL frozen", f"tokens again {took:.1f} s after it went on")
            assert took < AGAIN
            load.wait(20)
        assert set(load.others) <= {(503, "2")}
        assert (load.broken, load.refused) == ([], 0)
    assert_recorded(cluster_url, load.received)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Somebody else writes to the SQLite file and does not finish."""
    other = sqlite3.connect(home / "certbound.db", isolation_level=None)
    other.execute("PRAGMA busy_timeout=20000")
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_busy_file(home: Path) -> None:
    """SQLite's lock in other hands for five seconds: 503 within two, then tokens again."""
    with running(home, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        load = Steady([server], threads=4)
        with load.running():
            with locked(home):
                until = time.monotonic() + 5
                assert_unavailable(server)
                time.sleep(max(0.0, until - time.monotonic()))
            took = timing.until_tokens(server)
            assert took < AGAIN
            load.wait(20)
        assert set(load.others) <= {(503, "2")}
        assert (load.broken, load.refused) == ([], 0)
    assert_recorded(f"sqlite:///{home / 'certbound.db'}", load.received)
