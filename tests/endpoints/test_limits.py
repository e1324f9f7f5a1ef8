"""Who comes too often is told so, costs the audit next to nothing, and harms nobody else."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlencode

from app.rates import Rates
from tests.kit.asgi import FORM, Answer, Stage, _asked
from tests.kit.wire import TIMEOUT

Open = Callable[..., Stage]


def _told(answer: Answer) -> None:
    assert answer.status == 429
    assert answer.header("retry-after") == "1"
    assert answer.header("cache-control") == "no-store"
    assert answer.json()["error"] == "temporarily_unavailable"


def test_a_client_that_asks_too_often(opened: Open) -> None:
    """Two seconds' worth are answered; then it is 429 with a reference that says why."""
    stage = opened(rate_per_client=1)
    assert [stage.token(stage.bot).status for _ in range(2)] == [200, 200]
    answer = stage.token(stage.bot)
    _told(answer)
    entry = stage.explained(answer.json()["error_ref"])
    assert (entry["reason"], entry["client_id"]) == ("rate_limited", "bot")
    _told(stage.introspect("x"))
    _told(stage.revoke("x"))


def test_the_others_go_on(opened: Open) -> None:
    """Neither another client, nor a stranger in the client's name, shares its bucket."""
    stage = opened(rate_per_client=1)
    peer = stage.add_client("other")
    for _ in range(5):
        assert stage.token(None).status == 401
    assert [stage.token(stage.bot).status for _ in range(3)] == [200, 200, 429]
    assert stage.token(peer, client_id="other").status == 200


def test_a_flood_of_them_fills_no_disk(opened: Open) -> None:
    """They are counted together like all refusals in masses."""
    stage = opened(rate_per_client=1)
    answers = [stage.token(stage.bot) for _ in range(60)]
    refs = {each.json()["error_ref"] for each in answers if each.status == 429}
    assert len(refs) <= 11
    assert len([e for e in stage.entries(200) if e.get("reason") == "rate_limited"]) == len(refs)


def test_an_address_that_is_refused_too_often(opened: Open) -> None:
    """Its refusals become 429, malformed requests too, and its good requests are answered."""
    stage = opened(rate_per_address=1)
    assert [stage.token(None).status for _ in range(3)] == [401, 401, 429]
    answer = stage.token(stage.bot, client_id="nobody")
    _told(answer)
    entry = stage.explained(answer.json()["error_ref"])
    assert entry["reason"] == "rate_limited"
    assert "client_unknown" in [each.get("reason") for each in entry["findings"]]
    _told(stage.post("/token", {}, peer=stage.bot))
    assert stage.token(stage.bot).status == 200
    assert stage.token(stage.bot, scope="none").status == 400, "known clients are no strangers"


def test_a_limit_can_be_off(opened: Open) -> None:
    """With 0 nobody is counted."""
    stage = opened(rate_per_address=0, rate_per_client=0)
    assert {stage.token(None).status for _ in range(20)} == {401}
    assert {stage.token(stage.bot).status for _ in range(20)} == {200}
    assert len(stage.house.door.limits.clients) == 0


def test_memory_is_bounded() -> None:
    """Of more keys than there is room for, the one unused for longest is forgotten."""
    rates = Rates(1, most=3, monotonic=lambda: 0.0)
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    for number in range(2):
        assert rates.take(f"k{number}")
    assert not rates.take("a")
    for number in range(1000):
        rates.take(f"n{number}")
    assert len(rates) == 3
    assert rates.take("a"), "it was forgotten, so its bucket is full"


def test_a_bucket_fills_again() -> None:
    """A second later there is one more."""
    now = [0.0]
    rates = Rates(1, monotonic=lambda: now[0])
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    now[0] = 1.0
    assert [rates.take("a") for _ in range(2)] == [True, False]


def test_more_than_the_journal_holds(stage: Stage) -> None:
    """Beyond what may wait it is 503 at once; those who waited get their tokens; then all is well."""
    stage.house.door.journal._batches._capacity = 5
    form = urlencode({"grant_type": "client_credentials", "client_id": "bot"}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/token",
        "raw_path": b"/token",
        "root_path": "",
        "query_string": b"",
        "headers": [(FORM[0].encode(), FORM[1].encode())],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8443),
    }

    async def flood(other: sqlite3.Connection) -> list[Answer]:
        one_each = [{**scope, "state": {"certbound.peer": stage.bot}} for _ in range(60)]
        asking = [asyncio.create_task(_asked(stage.house, each, [form])) for each in one_each]
        await asyncio.wait(asking, timeout=0.3)
        assert [task for task in asking if task.done()], "who finds no room does not wait"
        assert [task for task in asking if not task.done()]
        other.execute("ROLLBACK")
        return await asyncio.wait_for(asyncio.gather(*asking), TIMEOUT)

    assert stage.token(stage.bot).status == 200
    with closing(sqlite3.connect(stage.settings.home / "certbound.db", timeout=0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answers = stage._loop.run(flood(other))
    full = [each for each in answers if each.status == 503]
    issued = [each for each in answers if each.status == 200]
    assert len(full) + len(issued) == len(answers)
    assert len(full) > len(issued) > 0
    assert {each.header("retry-after") for each in full} == {"2"}
    recorded = [each["event"] for each in stage.entries(200)].count("token.issued")
    assert recorded == len(issued) + 1
    assert stage.token(stage.bot).status == 200
