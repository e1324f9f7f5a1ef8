"""`app.keys.rotate` when several processes act at once, on SQLite and on PostgreSQL."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from app.keys import rotate as room
from app.keys.rotate import ensure_keys, make_key, rotate, upkeep
from app.keys.schedule import Due
from app.keys.seal import SealingKey
from app.store import audit, signing_keys
from app.store.engine import Database

SEALING = SealingKey(b"s" * 32, "a test")
NOW = 1_800_000_000

pytestmark = pytest.mark.usefixtures("unhurried")
LIFETIME = 90 * 86_400


def begin(db: Database) -> Due:
    """The first start of a server."""
    return ensure_keys(db, SEALING, "ES256", NOW, actor="server")


def standing(db: Database) -> dict[str, list[str]]:
    """The ids of the stored keys by state."""
    found: dict[str, list[str]] = {"next": [], "current": [], "retired": []}
    with db.read() as conn:
        for row in signing_keys.listed(conn):
            found[row.state].append(row.kid)
    return found


def sizes(db: Database) -> tuple[int, int, int]:
    """How many keys are next, current and retired."""
    found = standing(db)
    return len(found["next"]), len(found["current"]), len(found["retired"])


def acts(db: Database) -> Counter[str]:
    """How many audit entries of each kind there are."""
    with db.read() as conn:
        return Counter(entry.event for entry in audit.tail(conn, 100))


def together(url: str, count: int, act: Callable[[Database], Any]) -> list[Any]:
    """The results of `count` threads that do `act` at once, each on its own connections."""
    gate = threading.Barrier(count)
    results: list[Any] = []

    def work() -> None:
        own = Database(url)
        gate.wait()
        try:
            results.append(act(own))
        except Exception as error:  # noqa: BLE001  # counted by the caller
            results.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_processes_that_start_together_agree(database_url: str, db: Database) -> None:
    """Eight first starts at once: two keys, no error, three entries."""
    results = together(database_url, 8, begin)
    assert not [result for result in results if isinstance(result, Exception)]
    assert sizes(db) == (1, 1, 0)
    assert acts(db) == {"key.added": 2, "key.rotated": 1}


def test_processes_that_rotate_together_make_one_key(database_url: str, db: Database) -> None:
    """Eight scheduled rotations at once: one takes place, the others find nothing due."""
    begin(db)
    before = standing(db)

    def tend(own: Database) -> Any:
        return upkeep(
            own, SEALING, "ES256", NOW + LIFETIME, lifetime=LIFETIME, token_lifetime=300, actor="s"
        )

    results = together(database_url, 8, tend)
    assert not [result for result in results if isinstance(result, Exception)]
    assert sum(bool(result) for result in results) == 1
    assert standing(db)["current"] == before["next"]
    assert sizes(db) == (1, 1, 1)
    assert acts(db)["key.rotated"] == 2


def test_operators_who_rotate_together_make_one_key(
    database_url: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two forced rotations that looked at the same keys: one is done, the other says it was late."""
    begin(db)
    before = standing(db)
    gate = threading.Barrier(2, timeout=60)

    def hold(algorithm: str) -> Any:
        gate.wait()
        return make_key(algorithm)

    monkeypatch.setattr(room, "make_key", hold)

    def turn(own: Database) -> Any:
        return rotate(own, SEALING, "ES256", NOW, token_lifetime=300, actor="root", force=True)

    results = together(database_url, 2, turn)
    assert sorted(result.done for result in results) == [False, True]
    assert [result.current for result in results] == before["next"] * 2
    assert standing(db)["current"] == before["next"]
    assert sizes(db) == (1, 1, 1)
