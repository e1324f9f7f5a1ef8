"""Refusals in masses: few entries, one reference for those alike, and each reference explains."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from app.admin import clients
from app.admin.explain import Together, together
from app.audit import RequestRefused, RequestsCounted, new_ref
from app.endpoints import gathering
from app.endpoints.gathering import PER_KEY, Refusals
from app.rates import Bucket
from app.store import audit
from app.store.audit import AuditRow, Wanted
from app.store.engine import StoreUnavailable
from tests.kit.asgi import Stage
from tests.store.decisions import Made


@dataclass
class Hand:
    """A clock that stands until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


@dataclass
class Crowd:
    """Requests refused on one stage, and what was recorded of them."""

    stage: Stage
    clock: Hand
    refs: list[str] = field(default_factory=list)

    def refused(self, count: int, client_id: Callable[[int], str] = lambda _: "nobody") -> set[str]:
        """Refuse so many; the references they got."""
        refs = []
        for number in range(count):
            answer = self.stage.token(None, client_id=client_id(number))
            assert answer.status == 401
            refs.append(answer.json()["error_ref"])
        self.refs += refs
        return set(refs)

    def record(self, *, all_of_them: bool = False) -> None:
        """What the server does every few seconds."""
        door = self.stage.house.door
        asyncio.run(door.refusals.record(door.journal, all_of_them=all_of_them))

    def rows(self, event: str) -> list[AuditRow]:
        """Entries of this name."""
        with self.stage.house.database.read() as conn:
            return list(audit.search(conn, Wanted(event=event), count=100_000))

    def bodies(self, event: str) -> list[dict[str, object]]:
        """What they say."""
        return [json.loads(row.body) for row in self.rows(event)]


def crowd_on(
    stage: Stage, singles: Bucket = gathering.SINGLES, openings: Bucket = gathering.OPENINGS
) -> Crowd:
    """A crowd at this stage's door."""
    clock = Hand()
    object.__setattr__(stage.house.door, "refusals", Refusals(clock, singles, openings))
    # They come faster than one address may, and their reasons are what is looked at here.
    stage.house.door.limits.addresses.per_second = 0
    return Crowd(stage, clock)


@pytest.fixture
def crowd(stage: Stage) -> Crowd:
    """At a door with the real limits."""
    return crowd_on(stage)


def test_those_alike_share_one_reference(crowd: Crowd) -> None:
    """The first ones have their own; all others lead to one entry that was there before the answer."""
    refs = crowd.refused(PER_KEY + 40)
    assert len(refs) == PER_KEY + 1
    assert len(crowd.rows("request.refused")) == PER_KEY
    (entry,) = crowd.rows("requests.refused")
    assert crowd.refs[PER_KEY:] == [entry.ref] * 40
    body = crowd.stage.explained(str(entry.ref))
    assert (body["client_id"], body["reason"]) == ("nobody", "client_unknown")
    assert body["findings"]
    assert together(crowd.stage.desk, entry) == Together(gathering.ALIKE)


def test_their_number_is_recorded_when_they_are_over(crowd: Crowd) -> None:
    """After a quiet minute: how many, from when to when; then they begin anew."""
    crowd.refused(PER_KEY + 40)
    crowd.clock.now = 59
    crowd.record()
    assert crowd.rows("requests.counted") == []
    crowd.clock.now = 61
    crowd.record()
    (body,) = crowd.bodies("requests.counted")
    (entry,) = crowd.rows("requests.refused")
    assert (body["count"], body["given_ref"]) == (40, entry.ref)
    many = together(crowd.stage.desk, entry)
    assert many is not None
    assert many.count == 40
    assert len(crowd.refused(PER_KEY)) == PER_KEY


def test_a_group_that_goes_on_is_counted_every_quarter_of_an_hour(crowd: Crowd) -> None:
    """So that a steady flood shows while it lasts."""
    crowd.refused(PER_KEY + 5)
    for minute in range(1, 18):
        crowd.clock.now = minute * 55
        crowd.refused(1)
        crowd.record()
    assert [body["count"] for body in crowd.bodies("requests.counted")] == [22]


def test_the_last_ones_are_counted_when_the_server_ends(crowd: Crowd) -> None:
    """Whatever time it is; and a group of one needs no number."""
    crowd.refused(PER_KEY + 2)
    crowd.refused(PER_KEY + 1, lambda _: "other")
    crowd.record(all_of_them=True)
    assert [body["count"] for body in crowd.bodies("requests.counted")] == [2]


def test_different_ones_do_not_share(crowd: Crowd) -> None:
    """Another client, another certificate, another reason: a reference of its own."""
    for client_id in ("one", "two"):
        crowd.refused(PER_KEY + 3, lambda _, client_id=client_id: client_id)  # type: ignore[misc] # bound now
    found = {body["client_id"] for body in crowd.bodies("requests.refused")}
    assert found == {"one", "two"}


def test_a_flood_of_different_ones_is_bounded_too(stage: Stage) -> None:
    """Past the budget they share one that names what all have in common, and nobody's certificate."""
    crowd = crowd_on(stage, singles=Bucket(20, 0), openings=Bucket(3, 0))
    crowd.refused(200, lambda number: f"client-{number}")
    assert len(crowd.rows("request.refused")) == 20
    (entry,) = crowd.rows("requests.refused")
    body = json.loads(entry.body)
    assert body["alike"] == ["endpoint", "status", "error", "reason"]
    assert "client_id" not in body
    assert body["findings"][0]["expected"]
    assert {finding["seen"] for finding in body["findings"]} == {""}
    crowd.record(all_of_them=True)
    assert [each["count"] for each in crowd.bodies("requests.counted")] == [180]


def test_every_reference_of_a_flood_explains(stage: Stage) -> None:
    """Promise 4, whichever way a refusal was recorded."""
    crowd = crowd_on(stage, singles=Bucket(30, 0), openings=Bucket(2, 0))
    crowd.refused(300, lambda number: f"client-{number % 7 if number < 200 else number}")
    for ref in set(crowd.refs):
        body = stage.explained(ref)
        assert (body["reason"], body["endpoint"]) == ("client_unknown", "/token")
        assert body["findings"][-1]["reason"] == "client_unknown"


def test_a_flood_costs_next_to_nothing_on_disk(stage: Stage) -> None:
    """Less than 30 octets of audit per refused request, where one by one each takes hundreds."""
    crowd = crowd_on(stage, singles=Bucket(20, 0), openings=Bucket(3, 0))
    crowd.refused(1000, lambda number: f"client-{number}")
    crowd.record(all_of_them=True)
    with stage.house.database.read() as conn:
        rows = audit.search(conn, Wanted(decision="refused"), count=100_000)
    assert sum(len(row.body) for row in rows) < 30 * 1000


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many kinds there are."""
    monkeypatch.setattr(gathering, "MAX_TALLIES", 50)
    refusals = Refusals(Hand(), Bucket(10_000, 0), Bucket(0, 0))
    for number in range(500):
        event = refusal_of(str(number))
        assert refusals.weigh(Made(event, None), event, 1) is None
    assert len(refusals._tallies) == 50


def refusal_of(client_id: str = "bot") -> RequestRefused:
    """A refused request's entry."""
    return RequestRefused(
        decision="refused",
        reason="expired",
        ref=new_ref(),
        client_id=client_id,
        endpoint="/token",
        error="invalid_client",
        status=401,
    )


def settling(crowd: Crowd) -> Callable[[], Any]:
    """One more refused request, straight to the journal of the stage."""
    door = crowd.stage.house.door
    journal: Any = door.journal  # it takes any decision
    return lambda: door.refusals.settle(
        journal, door.lookups, lambda _registry: Made(refusal_of(), None)
    )


def test_many_at_once_wait_for_the_entry_they_share(stage: Stage) -> None:
    """None of a hundred gets its answer before the entry is on disk."""
    crowd = crowd_on(stage, singles=Bucket(0, 0), openings=Bucket(0, 0))
    one = settling(crowd)

    async def answered() -> str:
        ref = str((await one()).event.ref)
        assert stage.explained(ref)
        return ref

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(answered() for _ in range(100)))

    assert len(set(asyncio.run(all_of_them()))) == 1
    assert len(crowd.rows("requests.refused")) == 1


def test_one_who_leaves_takes_nobody_along(stage: Stage) -> None:
    """The first, whose entry the others wait for, goes away: another one records it."""
    crowd = crowd_on(stage, singles=Bucket(0, 0), openings=Bucket(0, 0))
    one = settling(crowd)

    async def leave_first() -> list[Any]:
        first = asyncio.ensure_future(one())
        others = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(*others)

    refs = {made.event.ref for made in asyncio.run(leave_first())}
    for ref in refs:
        assert stage.explained(ref)


def test_a_change_ends_a_flood_at_the_next_request(crowd: Crowd) -> None:
    """Counted or not, nobody is refused by a registry that another process has replaced."""
    bot = crowd.stage.add_client("bot2")
    clients.disable(crowd.stage.desk, "bot2")
    crowd.stage.refresh()
    ask = partial(crowd.stage.token, bot, client_id="bot2")
    assert {ask().status for _ in range(PER_KEY + 5)} == {401}
    clients.enable(crowd.stage.desk, "bot2")
    assert ask().status == 200
    crowd.record(all_of_them=True)
    assert [body["count"] for body in crowd.bodies("requests.counted")] == [5]


def test_nobody_is_counted_in_a_group_that_is_over(stage: Stage) -> None:
    """Its number is on its way to the disk: who comes too late for it opens the next one."""
    crowd = crowd_on(stage, singles=Bucket(0, 0), openings=Bucket(0, 0))
    one = settling(crowd)
    refusals, lookups = stage.house.door.refusals, stage.house.door.lookups
    find = lookups.find

    async def over_meanwhile(jti: str | None) -> Any:
        refusals._take_leave(all_of_them=True)
        lookups.find = find  # type: ignore[method-assign] # only once
        return await find(jti)

    asyncio.run(one())
    lookups.find = over_meanwhile  # type: ignore[method-assign] # the moment cannot be had otherwise
    crowd.refs = [asyncio.run(one()).event.ref for _ in range(2)]
    assert len(crowd.rows("requests.refused")) == 2
    crowd.record(all_of_them=True)
    assert [body["count"] for body in crowd.bodies("requests.counted")] == [2]


def test_where_nothing_can_be_written_nothing_is_given_out(stage: Stage) -> None:
    """All who were to share an entry hear that the store is away, and it is tried again later."""
    crowd = crowd_on(stage, singles=Bucket(0, 0), openings=Bucket(0, 0))
    one = settling(crowd)
    stage.house.door.journal.close(5)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)

    assert {type(each) for each in asyncio.run(all_of_them())} == {StoreUnavailable}
    assert stage.house.door.refusals._groups == {}


def test_a_number_that_could_not_be_written_is_written_later(crowd: Crowd) -> None:
    """It stays until the store answers."""
    crowd.refused(PER_KEY + 5)
    door = crowd.stage.house.door
    with pytest.raises(StoreUnavailable):
        asyncio.run(door.refusals.record(_Away(), all_of_them=True))  # type: ignore[arg-type] # no journal
    crowd.record()
    assert [body["count"] for body in crowd.bodies("requests.counted")] == [5]
    assert {row.event for row in crowd.rows("requests.counted")} == {RequestsCounted.name}


class _Away:
    """A journal whose database is away."""

    async def record(self, _decision: object) -> None:
        """Fail."""
        raise StoreUnavailable
