"""Many tokens from one server: nothing grows with them, and what has ended goes while it serves.

`CERTBOUND_TEST_TOKENS` says how many; 1,000,000 is the full form. The server's clock runs faster
than the real one, so that tokens end, and are forgotten ten minutes later, while others are given.
"""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.store.engine import Database
from app.store.tables import audit as entries
from tests.kit import figures
from tests.kit.crew import eventually
from tests.kit.endurance import Endurance, Look
from tests.kit.running import certbound, running

TOKENS = int(os.environ.get("CERTBOUND_TEST_TOKENS", "3000"))
IS_LONG = TOKENS >= 200_000
ROUNDS = 50 if IS_LONG else 3
SPEED = 20 if IS_LONG else 400
"""Tokens are forgotten 660 seconds after they are given: 33 real ones, or two."""
LIFETIME = "60"
BETWEEN = 10
"""Files that may be open at one look more than at another: a connection to the database, a thread's."""


@pytest.fixture(params=["sqlite", "postgresql"] if IS_LONG else ["sqlite"])
def url(request: pytest.FixtureRequest, home: Path) -> str:
    """An empty database: made by quickstart, or migrated."""
    if request.param == "sqlite":
        return f"sqlite:///{home / 'certbound.db'}"
    return str(request.getfixturevalue("cluster_url"))


@pytest.mark.timeout(300 + TOKENS // 200)
def test_nothing_grows_with_the_tokens(url: str, home: Path) -> None:
    """Memory and open files stay, rows of ended tokens go under load, each token has its entry."""
    clock = {"CLOCK_SPEED": str(SPEED), "CLOCK_BEGAN": str(time.time())}
    database = Database(url)
    with running(
        home,
        program="tests.kit.hurried",
        extra=clock,
        database_url=url,
        workers="2",
        access_token_lifetime=LIFETIME,
        log_level="warning",
    ) as server:
        load = Endurance(server, database, _say)
        load.run(TOKENS, ROUNDS)
        eventually(lambda: load.look().rows == 0)
        _tell(database.dialect, load.looks)
        _assert_flat(load.looks)
    with database.read() as conn:
        query = select(func.count()).where(entries.c.event == "token.issued")
        assert conn.execute(query).scalar_one() >= load.given >= TOKENS
    database.dispose()
    began = time.monotonic()
    certbound(home, "audit", "verify", environment=server.environment)
    figures.tell(f"soak, {database.dialect}", f"audit verified in {time.monotonic() - began:.0f} s")


def _say(look: Look) -> None:
    if IS_LONG:
        print(look, flush=True)  # noqa: T201 - the progress


def _tell(dialect: str, looks: list[Look]) -> None:
    """At the start, after a tenth, half-way and at the end."""
    for part in (0, 0.1, 0.5, 1):
        look = next(each for each in looks if each.given >= TOKENS * part)
        figures.tell(f"soak, {dialect}", str(look))
    figures.tell(f"soak, {dialect}", f"most rows at a look: {max(each.rows for each in looks):,}")
    figures.tell(f"soak, {dialect}", f"{looks[-1].rows} rows left once all had ended")


def _assert_flat(looks: list[Look]) -> None:
    tenth = next(each for each in looks if each.given >= TOKENS / 10)
    after = looks[looks.index(tenth) :]
    if IS_LONG:
        assert max(each.rows for each in after) < TOKENS / 3, "rows were not forgotten under load"
        assert looks[-1].memory < tenth.memory * 1.1 + 10, "memory grows"
    files = [each.open_files for each in after]
    assert max(files) - min(files) <= BETWEEN, "files stay open"
