"""Workers killed at random moments under load: nothing acknowledged is lost, on both databases.

`CERTBOUND_TEST_KILLS` says how often; 50 is the full form.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from app.store import tokens
from app.store.engine import Database
from tests.kit import crew, figures, unhurried
from tests.kit import tokens as kit
from tests.kit.crew import eventually
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, running
from tests.kit.steady import Steady

LIFETIME = "3600"
"""Seconds: no token may run out, and be purged, while they are counted."""
KILLS = int(os.environ.get("CERTBOUND_TEST_KILLS", "3"))
LONG = 20
"""Kills from which on the progress is told."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, home: Path) -> str:
    """An empty database: made by quickstart, or migrated."""
    if request.param == "sqlite":
        return f"sqlite:///{home / 'certbound.db'}"
    return str(request.getfixturevalue("cluster_url"))


@contextmanager
def revoking(server: Running, load: Steady) -> Iterator[list[str]]:
    """Revokes tokens as they come; those whose revocation was acknowledged."""
    done, acknowledged = threading.Event(), []

    def work() -> None:
        asked = 0
        while not done.is_set():
            with suppress(httpx2.TransportError), server.client("bot") as http:
                while not done.is_set():
                    if asked == len(load.received):
                        time.sleep(0.01)
                        continue
                    asked = len(load.received)
                    token = load.received[-1]
                    body = {"client_id": "bot", "token": token}
                    answer = http.post(f"https://localhost:{server.mtls_port}/revoke", data=body)
                    if answer.status_code == 200:
                        acknowledged.append(kit.read(token)["jti"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield acknowledged
    finally:
        done.set()
        thread.join(30)


@pytest.mark.timeout(300 + 20 * KILLS)
def test_nothing_acknowledged_is_lost(url: str, home: Path) -> None:
    """Each token a client received has its row and entry, each revocation stands, chains are whole."""
    chance = random.Random(5)  # noqa: S311 - which moment, no secret
    took = []
    with running(
        home,
        program=unhurried.PROGRAM,
        database_url=url,
        workers="2",
        access_token_lifetime=LIFETIME,
    ) as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        load = Steady([server], threads=6)
        with load.running(), revoking(server, load) as revoked:
            for number in range(KILLS):
                time.sleep(chance.uniform(0.0, 0.4))
                took.append(crew.kill(server, 1 + number % 2, signal.SIGKILL))
                if KILLS >= LONG and (number + 1) % 10 == 0:
                    print(f"{number + 1} of {KILLS} kills", flush=True)  # noqa: T201 - progress
            load.wait(50)
            eventually(lambda: revoked)
        assert load.others == []
        assert load.refused == 0
        assert len(load.broken) <= 6 * KILLS
    assert_recorded(url, load.received)
    db = Database(url)
    with db.read() as conn:
        found = tokens.find_many(conn, sorted(revoked))
    db.dispose()
    assert len(found) == len(revoked)
    assert all(row.revoked_at is not None for row in found.values())
    figures.tell(
        f"workers killed, {db.dialect}",
        f"{KILLS} kills, {len(load.received)} tokens, {len(revoked)} revocations, "
        f"{len(load.broken)} requests cut off; replaced in {min(took):.1f} to {max(took):.1f} s",
    )
