"""The CRLs of a process: what the registry names counts, is parsed once, and never lets go early."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from app.pki import crl_store
from app.pki.anchors import TrustSet
from app.pki.crl import load_for
from app.pki.crl_store import AT_ONCE, Revocation
from app.pki.ocsp_cache import OcspCache
from app.pki.revocation_policy import RevocationPolicy
from tests.kit import ca, crls
from tests.kit.ca import root
from tests.kit.crls import draft
from tests.kit.world import World

_WORLD = World()
_ROOT, _NOW = _WORLD.root, _WORLD.now
_SET = TrustSet("kit", (_ROOT.certificate,), revocation=RevocationPolicy("crl"))


async def _nobody(*_args: object) -> bytes:
    raise AssertionError(_args)


@dataclass(frozen=True)
class Row:
    """A reference as the registry has it."""

    trust_set: str
    issuer_key: str
    partition: str
    digest: str
    entries: int


class Shelf:
    """Lists by digest, as a database would give them, and how often each was asked for."""

    def __init__(self) -> None:
        self.lists: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.down = False
        self.gate = threading.Event()
        self.gate.set()
        self.revocation = Revocation(self.read, OcspCache(_nobody))

    def read(self, digest: str) -> bytes | None:
        """Like a database: it may be down, slow, or know nothing."""
        self.gate.wait(60)
        self.reads.append(digest)
        if self.down:
            raise OSError("database down")
        return self.lists.get(digest)

    def put(self, encoded: bytes, trust_set: TrustSet = _SET) -> Row:
        """Store a list; the row that names it."""
        crl = load_for(trust_set, encoded)
        self.lists[crl.digest] = encoded
        return Row(trust_set.name, crl.issuer_key, crl.partition, crl.digest, crl.entries.count)

    def numbers(self, trust_set: str = "kit") -> list[int]:
        """The numbers of the lists that count."""
        return sorted(each.number for each in self.revocation.crls(trust_set) if not each.replaced)

    def only_revoking(self) -> list[int]:
        """The numbers of the lists whose silence does not count any more."""
        return sorted(each.number for each in self.revocation.crls("kit") if each.replaced)


def big(count: int) -> bytes:
    """A list too big to be loaded while somebody waits."""
    entries = crls.many(AT_ONCE + 1, _NOW)[0]
    return crls.sign(draft(_NOW, count=count).with_(entries=entries), _ROOT)


def until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does, at most a minute."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_small_list_counts_with_its_registry_version() -> None:
    """When `follow` returns it is there; there is no moment at which the version is half known."""
    shelf = Shelf()
    shelf.revocation.follow(1, [_SET], [shelf.put(crls.crl(_ROOT, _NOW, count=1))])
    assert shelf.numbers() == [1]
    assert shelf.revocation.wait(0)
    shelf.revocation.follow(2, [_SET], [shelf.put(crls.crl(_ROOT, _NOW, count=2))])
    assert shelf.numbers() == [2]
    shelf.revocation.follow(3, [_SET], [])
    assert shelf.numbers() == []


def test_an_older_version_changes_nothing() -> None:
    """Two threads may bring versions in either order."""
    shelf = Shelf()
    first, second = (shelf.put(crls.crl(_ROOT, _NOW, count=each)) for each in (1, 2))
    shelf.revocation.follow(6, [_SET], [second])
    shelf.revocation.follow(5, [_SET], [first])
    assert shelf.numbers() == [2]


def test_a_list_is_read_and_parsed_once() -> None:
    """Whatever else changes in the registry, the trust set's own anchors included."""
    shelf = Shelf()
    row = shelf.put(crls.crl(_ROOT, _NOW))
    shelf.revocation.follow(1, [_SET], [row])
    before = shelf.revocation.crls("kit")[0]
    for version in range(2, 10):
        shelf.revocation.follow(version, [_SET], [row])
    assert shelf.revocation.crls("kit")[0] is before
    wider = TrustSet("kit", (_ROOT.certificate, _WORLD.evil.certificate))
    shelf.revocation.follow(10, [wider], [row])
    assert shelf.revocation.crls("kit")[0].entries is before.entries
    assert len(shelf.reads) == 1


def test_a_list_ends_with_the_certificate_that_vouched_for_it() -> None:
    """Its CA out of the set, its list out of the verdicts; the other set keeps its own."""
    shelf = Shelf()
    encoded = crls.crl(_ROOT, _NOW)
    other = TrustSet("other", (_ROOT.certificate,))
    rows = [shelf.put(encoded), shelf.put(encoded, other)]
    shelf.revocation.follow(1, [_SET, other], rows)
    assert (shelf.numbers(), shelf.numbers("other")) == ([1], [1])
    assert len(shelf.reads) == 1
    without = TrustSet("kit", (_WORLD.evil.certificate,))
    shelf.revocation.follow(2, [without, other], rows)
    assert (shelf.numbers(), shelf.numbers("other")) == ([], [1])
    assert shelf.revocation.wait(1)


def test_a_big_list_loads_beside_and_the_old_one_only_revokes_until_then() -> None:
    """The registry does not wait for it; whoever decides knows that it is coming."""
    shelf = Shelf()
    small, large = shelf.put(crls.crl(_ROOT, _NOW, count=1)), shelf.put(big(2))
    other = TrustSet("other", (_ROOT.certificate,), revocation=RevocationPolicy("crl"))
    beside = shelf.put(crls.crl(_ROOT, _NOW, count=3), other)
    shelf.revocation.follow(1, [_SET, other], [small, beside])
    shelf.gate.clear()
    shelf.revocation.follow(2, [_SET, other], [large, beside])  # returns with the gate closed
    assert (shelf.numbers(), shelf.only_revoking()) == ([], [1])
    assert shelf.revocation.loading("kit")
    assert not shelf.revocation.wait(0)
    assert (shelf.numbers("other"), shelf.revocation.loading("other")) == ([3], False)
    shelf.gate.set()
    assert shelf.revocation.wait(10)
    assert (shelf.numbers(), shelf.only_revoking()) == ([2], [])
    assert not shelf.revocation.loading("kit")


def test_many_wait_for_a_list_and_one_gives_up() -> None:
    """Who waits wakes when it is there; who waited long enough goes, and ends it for nobody."""
    shelf = Shelf()
    shelf.gate.clear()
    shelf.revocation.follow(1, [_SET], [shelf.put(big(1))])

    async def main() -> None:
        await shelf.revocation.loaded("kit", 0.01)
        assert shelf.revocation.loading("kit")
        await shelf.revocation.loaded("other", 10)  # nothing is coming there
        waiting = [asyncio.create_task(shelf.revocation.loaded("kit", 10)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        shelf.gate.set()
        await asyncio.gather(*waiting[1:])
        assert not shelf.revocation.loading("kit")
        assert shelf.numbers() == [1]

    asyncio.run(main())


def test_a_list_just_fetched_is_not_read_again() -> None:
    """Who fetched and parsed it offers it before the registry names it."""
    shelf = Shelf()
    row = shelf.put(big(2))
    shelf.revocation.offer(load_for(_SET, shelf.lists[row.digest]))
    shelf.revocation.follow(1, [_SET], [row])
    assert shelf.numbers() == [2]
    assert shelf.reads == []


def test_offers_that_nobody_takes_are_forgotten() -> None:
    """They are big: only a few wait for the registry to name them."""
    shelf = Shelf()
    for count in range(20):
        shelf.revocation.offer(load_for(_SET, crls.crl(_ROOT, _NOW, count=count)))
    assert len(shelf.revocation._offered) == 8


@pytest.mark.parametrize("damage", ["lost", "broken", "of another CA"])
def test_an_unusable_list_leaves_the_old_one_revoking_with_one_alert(damage: str) -> None:
    """It is tried once, not at every version; nobody waits for it, and the old silence is over."""
    shelf = Shelf()
    good, bad = (shelf.put(crls.crl(_ROOT, _NOW, count=each)) for each in (1, 2))
    shelf.revocation.follow(1, [_SET], [good])
    if damage == "lost":
        del shelf.lists[bad.digest]
    else:
        other = shelf.lists[bad.digest][:-9] if damage == "broken" else crls.crl(_WORLD.evil, _NOW)
        shelf.lists[bad.digest] = other
    with capture_logs() as logged:
        for version in range(2, 6):
            shelf.revocation.follow(version, [_SET], [bad])
        assert shelf.revocation.wait(1)
    assert (shelf.numbers(), shelf.only_revoking()) == ([], [1])
    assert not shelf.revocation.loading("kit")
    assert shelf.reads == [good.digest, bad.digest]
    assert [each["event"] for each in logged] == ["crl.unusable"]


def test_a_list_that_was_lost_counts_again_when_it_is_fetched() -> None:
    """The registry names it still, so nothing need change there; and nobody waits any more."""
    shelf = Shelf()
    good, lost = (shelf.put(crls.crl(_ROOT, _NOW, count=each)) for each in (1, 2))
    shelf.revocation.follow(1, [_SET], [good])
    fetched = load_for(_SET, shelf.lists.pop(lost.digest))
    shelf.revocation.follow(2, [_SET], [lost])
    assert (shelf.numbers(), shelf.only_revoking()) == ([], [1])
    shelf.revocation.offer(fetched)
    assert (shelf.numbers(), shelf.only_revoking()) == ([2], [])
    assert shelf.revocation._offered == {}
    shelf.gate.clear()
    row = shelf.put(big(3))
    shelf.revocation.follow(3, [_SET], [row])
    assert shelf.revocation.loading("kit")
    shelf.revocation.offer(load_for(_SET, shelf.lists[row.digest]))
    assert (shelf.numbers(), shelf.revocation.loading("kit")) == ([3], False)
    shelf.gate.set()


def test_a_database_that_is_down_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry version stands; its lists follow as soon as they can be read."""
    monkeypatch.setattr(crl_store, "RETRY_AFTER", 0.01)
    shelf = Shelf()
    old, new = (shelf.put(crls.crl(_ROOT, _NOW, count=each)) for each in (1, 2))
    shelf.revocation.follow(1, [_SET], [old])
    shelf.down = True
    with capture_logs() as logged:
        shelf.revocation.follow(2, [_SET], [new])
        assert (shelf.numbers(), shelf.only_revoking()) == ([], [1])
        assert shelf.revocation.loading("kit")
        until(lambda: len(shelf.reads) > 5)
        shelf.down = False
        assert shelf.revocation.wait(10)
    assert shelf.numbers() == [2]
    assert [each["event"] for each in logged] == ["crl.unread"], "once, not at each try"


def test_a_list_that_cannot_be_read_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes after it in the queue gets its turn."""
    monkeypatch.setattr(crl_store, "RETRY_AFTER", 0.01)
    shelf = Shelf()
    other = TrustSet("other", (_ROOT.certificate,), revocation=RevocationPolicy("crl"))
    bad, good = shelf.put(big(1)), shelf.put(big(2), other)
    read = shelf.read

    def choosy(digest: str) -> bytes | None:
        if digest == bad.digest:
            raise OSError("this one never")
        return read(digest)

    shelf.revocation = Revocation(choosy, OcspCache(_nobody))
    shelf.revocation.follow(1, [_SET, other], [bad, good])
    until(lambda: not shelf.revocation.loading("other"))
    assert shelf.numbers("other") == [2]
    assert shelf.revocation.loading("kit")
    shelf.revocation.close()


def test_a_ca_that_left_is_told_once() -> None:
    """Its list stays named by the registry; further changes of the set are no news about it."""
    shelf = Shelf()
    row = shelf.put(crls.crl(_ROOT, _NOW))
    shelf.revocation.follow(1, [_SET], [row])
    states = [
        TrustSet("kit", (_WORLD.evil.certificate,), revocation=RevocationPolicy("crl", "hard", age))
        for age in (0, 60, 3600)
    ]
    with capture_logs() as logged:
        for version, without in enumerate(states, 2):
            shelf.revocation.follow(version, [without], [row])
    assert [each["event"] for each in logged] == ["crl.unusable"]
    shelf.revocation.follow(9, [_SET], [row])
    assert shelf.numbers() == [1]
    with capture_logs() as logged:
        shelf.revocation.follow(10, states[:1], [row])
    assert [each["event"] for each in logged] == ["crl.unusable"], "it had come back meanwhile"


def test_closing_ends_the_attempts() -> None:
    """A process that stops leaves no thread behind that asks a database for ever."""
    shelf = Shelf()
    shelf.down = True
    shelf.revocation.follow(1, [_SET], [shelf.put(crls.crl(_ROOT, _NOW))])
    worker = shelf.revocation._worker
    assert worker is not None
    shelf.revocation.close()
    until(lambda: not worker.is_alive())


def test_lists_of_two_keys_and_of_partitions_stand_side_by_side() -> None:
    """A CA that changed its key has two lists for a while."""
    renewed = root(_ROOT.subject, ca.key(label="renewed"), _NOW)
    both = TrustSet("kit", (_ROOT.certificate, renewed.certificate))
    part = draft(_NOW, count=3).plus(crls.partition(only_contains_ca_certs=True))
    shelf = Shelf()
    rows = [
        shelf.put(each, both)
        for each in (
            crls.crl(_ROOT, _NOW, count=1),
            crls.crl(renewed, _NOW, count=2),
            crls.sign(part, _ROOT),
        )
    ]
    shelf.revocation.follow(1, [both], rows)
    assert shelf.numbers() == [1, 2, 3]


def test_versions_brought_by_many_threads_end_at_the_newest() -> None:
    """And at every moment some whole version counts: never none, never two of one slot."""
    shelf = Shelf()
    rows = [shelf.put(crls.crl(_ROOT, _NOW, count=each)) for each in range(30)]
    shelf.revocation.follow(0, [_SET], rows[:1])
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(len(shelf.revocation.crls("kit")))
            time.sleep(0.0001)

    def bring(start: int) -> None:
        for version in range(start, 30, 3):
            shelf.revocation.follow(version, [_SET], [rows[version]])

    watcher = threading.Thread(target=watch)
    bringers = [threading.Thread(target=bring, args=(start,)) for start in range(3)]
    watcher.start()
    for each in bringers:
        each.start()
    for each in bringers:
        each.join()
    assert shelf.revocation.wait(10)
    done.set()
    watcher.join()
    assert set(seen) == {1}
    assert shelf.numbers() == [29]


def test_what_no_version_names_is_freed() -> None:
    """Tens of megabytes each."""
    shelf = Shelf()
    for version in range(5):
        row = shelf.put(crls.crl(_ROOT, _NOW, count=version))
        shelf.revocation.follow(version, [_SET], [row])
    assert len(shelf.revocation._parsed) == len(shelf.revocation._vouched) == 1


def test_a_set_that_is_gone_has_no_lists() -> None:
    """Rows of an unknown set are passed over."""
    shelf = Shelf()
    row = shelf.put(crls.crl(_ROOT, _NOW))
    shelf.revocation.follow(1, [], [row])
    assert shelf.numbers() == []
    assert shelf.numbers("never") == []
