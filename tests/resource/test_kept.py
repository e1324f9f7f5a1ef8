"""Documents kept in memory: one fetch for many who want it, and no failure that spreads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.jose.document import FetchFailed
from app.resource.kept import Kept, Loaded, OutOfReach, Wanting, patiently, patiently_async

RETRY = 10


class Source:
    """Something to fetch: `loads` counts; it can be slow, and it can fail."""

    def __init__(self) -> None:
        self.now = 1000
        self.loads = 0
        self.failure: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.kept = Kept(self.load, lambda: self.now, RETRY)

    def load(self) -> Loaded[int]:
        """One fetch."""
        self.loads += 1
        assert self.may_answer.wait(60)
        if self.failure is not None:
            raise self.failure
        return Loaded(self.loads, fresh_for=100, usable_for=1000)

    def get(self) -> int:
        """As a thread does."""
        return patiently(self.kept.current)


@pytest.fixture
def source() -> Source:
    """One per test."""
    return Source()


def test_many_threads_share_one_fetch(source: Source) -> None:
    """Twenty at a cold start: one fetch, twenty answers."""
    source.may_answer.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(source.get) for _ in range(20)]
        source.may_answer.set()
        assert {answer.result(60) for answer in answers} == {1}
    assert source.loads == 1


def test_a_fetch_that_ends_in_between_counts(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds no copy, and then no fetch that it may start, has a copy all the same."""
    start = source.kept._wanting

    def after_the_fetch_of_somebody_else() -> Wanting | None:
        if (other := start()) is not None:
            other.wait()
        return start()

    monkeypatch.setattr(source.kept, "_wanting", after_the_fetch_of_somebody_else)
    assert source.kept.current() == 1


def test_an_event_loop_goes_on_meanwhile(source: Source) -> None:
    """A hundred tasks wait without a thread each; one that gives up ends it for nobody."""
    source.may_answer.clear()

    async def main() -> set[int]:
        before = threading.active_count()
        tasks = [asyncio.create_task(patiently_async(source.kept.current)) for _ in range(100)]
        await asyncio.sleep(0)
        tasks.pop().cancel()
        await asyncio.sleep(0)
        assert threading.active_count() < before + 10
        source.may_answer.set()
        return set(await asyncio.gather(*tasks))

    assert asyncio.run(main()) == {1}
    assert source.loads == 1


@pytest.mark.parametrize("failure", [FetchFailed("no"), ValueError("bad"), RuntimeError("odd")])
def test_a_failure_is_remembered_for_a_while(source: Source, failure: Exception) -> None:
    """Whatever goes wrong: nobody hangs, nobody tries again at once, and later it heals."""
    source.failure = failure
    with pytest.raises(OutOfReach):
        source.get()
    assert source.kept.problem is not None
    with pytest.raises(OutOfReach):
        source.get()
    assert source.loads == 1
    source.now += RETRY
    source.failure = None
    assert source.get() == 2
    assert source.kept.problem is None


def test_a_copy_is_used_until_it_cannot_be(source: Source) -> None:
    """Fresh: without a thought. Stale: after one try. Beyond use: not at all."""
    assert source.get() == 1
    source.failure = FetchFailed("down")
    source.now += 74
    assert source.get() == 1
    assert source.loads == 1
    source.now += 900
    assert source.get() == 1
    assert source.loads == 2
    source.now += 26
    with pytest.raises(OutOfReach):
        source.get()


def test_a_fetch_that_hangs_holds_a_request_once(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for one fetch is bounded, not that for each round, in both worlds."""
    monkeypatch.setattr("app.resource.kept.WAIT_LIMIT", 0.05)
    source.may_answer.clear()
    rounds = []

    def get() -> int:
        rounds.append(1)
        return source.kept.current()

    with pytest.raises(OutOfReach, match="too long"):
        patiently(get)
    with pytest.raises(OutOfReach, match="too long"):
        asyncio.run(patiently_async(get))
    source.may_answer.set()
    assert (len(rounds), source.loads) == (2, 1)


def test_a_clock_that_jumps_back_makes_nothing_fresher(source: Source) -> None:
    """A copy from the future is as old as it is far away."""
    assert source.get() == 1
    source.now -= 500
    assert source.get() == 2


def test_renewing_is_rationed(source: Source) -> None:
    """Asked for again and again, it happens once in `RETRY` seconds, and not while it failed last."""
    assert source.get() == 1
    source.kept.renew()
    source.now += RETRY
    with pytest.raises(Wanting) as wanting:
        source.kept.renew()
    wanting.value.wait()
    assert (source.loads, source.get()) == (2, 2)
    source.failure = FetchFailed("down")
    source.now += RETRY
    with pytest.raises(Wanting) as wanting:
        source.kept.renew()
    wanting.value.wait()
    source.now += RETRY
    source.kept.renew()
    assert source.loads == 3


def test_wanting_without_end_ends(source: Source) -> None:
    """A document that is never there after all: given up after a few rounds, in both worlds."""

    def never() -> int:
        source.now += 1000
        source.kept.current()
        source.kept.renew()
        raise AssertionError("not reached")

    with pytest.raises(OutOfReach):
        patiently(never)
    with pytest.raises(OutOfReach):
        asyncio.run(patiently_async(never))
