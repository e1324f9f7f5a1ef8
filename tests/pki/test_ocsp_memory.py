"""A revocation learned by OCSP outlives the process that learned it, on both databases."""

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from app import clock
from app.errors import Finding, Reason
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import REFRESH_AFTER, Memory, OcspCache
from app.store import registry, trust
from app.store.engine import Database, StoreUnavailable
from app.store.ocsp import OcspMemory
from tests.kit.ocsp import Manner, Responder, responding
from tests.kit.world import World
from tests.pki.judging import peer
from tests.pki.test_ocsp import Party

_WORLD = World()
_ROOT = _WORLD.root
_PEER = peer(_ROOT.sign(_WORLD.draft()))


@pytest.fixture
def responder() -> Iterator[Responder]:
    """The CA's responder."""
    with responding(_ROOT, clock.now()) as running:
        yield running


@pytest.fixture
def memory(db: Database) -> OcspMemory:
    """What the processes share."""
    with registry.change(db) as conn:
        trust.add_set(conn, "asked", "", 1)
    return OcspMemory(db)


class Broken:
    """A database that answers for some acts only. It cannot be had otherwise at the right moment."""

    def __init__(self, kept: OcspMemory, *failing: str) -> None:
        self.kept = kept
        self.failing = set(failing)

    def recall(self, *certificate: str) -> int | None:
        """Read, unless that fails."""
        self._require("recall")
        return self.kept.recall(*certificate)

    def learn(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Write, unless that fails."""
        self._require("learn")
        self.kept.learn(trust_set, issuer_key, serial, this_update)

    def lift(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Write, unless that fails."""
        self._require("lift")
        self.kept.lift(trust_set, issuer_key, serial, this_update)

    def _require(self, act: str) -> None:
        if act in self.failing:
            raise StoreUnavailable("the database is down")


class Process(Party):
    """One process, which knows at its start what the database has."""

    def __init__(self, responder: Responder, memory: Memory, **policy: object) -> None:
        super().__init__(responder, **policy)
        self.answers = OcspCache(self.fetch, lambda: self.clock, memory)
        self.source = Revocation(lambda _digest: None, self.answers)

    async def next(self) -> Finding:
        """A login after everything is due again, its question answered."""
        self.clock += REFRESH_AFTER
        await self.prepare(_PEER)
        await self.settle()
        return self.judge(_PEER)


def once(responder: Responder, memory: Memory, fail: str = "soft") -> Finding:
    """The one login of a process that then ends."""

    async def scene() -> Finding:
        process = Process(responder, memory, fail=fail)
        process.hurried = responder.manner.hang > 0
        finding = await process.next()
        await process.answers.close()
        return finding

    return asyncio.run(scene())


_DOUBT = {
    "unknown": Manner(status="unknown"),
    "unreachable": Manner(http_status=503),
    "hanging": Manner(hang=600),
    "an older good": Manner(age=200, life=10_000),
    "a good of the same moment": Manner(age=100, life=10_000),
}


@pytest.mark.parametrize("doubt", _DOUBT)
def test_a_restart_takes_no_revocation_back(
    responder: Responder, memory: OcspMemory, doubt: str
) -> None:
    """Softly too: whatever else the responder says then, or says no more."""
    responder.manner = Manner(status="revoked", age=100)
    assert once(responder, memory).reason is Reason.REVOKED
    responder.manner = _DOUBT[doubt]
    finding = once(responder, memory)
    assert finding.reason is Reason.REVOKED
    assert "kept since" in finding.seen


def test_a_later_good_takes_it_back_for_all(responder: Responder, memory: OcspMemory) -> None:
    """A hold that was lifted; after it doubt is only doubt again."""
    responder.manner = Manner(status="revoked", age=100)
    assert once(responder, memory).reason is Reason.REVOKED
    responder.manner = Manner(life=10_000)
    assert once(responder, memory).passed
    responder.manner = Manner(status="unknown")
    assert once(responder, memory).doubt


def test_another_process_knows_by_its_next_question(
    responder: Responder, memory: OcspMemory
) -> None:
    """Its own good at hand, the responder gone: what the other one learned counts."""

    async def scene() -> None:
        process = Process(responder, memory, fail="soft")
        responder.manner = Manner(age=200, life=10_000)
        assert (await process.next()).passed
        responder.manner = Manner(status="revoked", age=100)
        other = Process(responder, memory, fail="soft")
        assert (await other.next()).reason is Reason.REVOKED
        responder.manner = Manner(http_status=503)
        assert (await process.next()).reason is Reason.REVOKED
        responder.manner = Manner(life=10_000)
        assert (await other.next()).passed
        assert (await process.next()).passed

    asyncio.run(scene())


def test_what_cannot_be_written_counts_and_is_written_later(
    responder: Responder, memory: OcspMemory
) -> None:
    """The store fails: refused all the same, logged, and kept when the next answer comes."""
    store = Broken(memory, "learn", "lift")

    async def scene() -> None:
        process = Process(responder, store, fail="soft")
        responder.manner = Manner(status="revoked", age=100, life=10_000)
        assert (await process.next()).reason is Reason.REVOKED
        responder.manner = Manner(http_status=503)
        assert once_known() is None
        store.failing.clear()
        responder.manner = Manner(status="revoked", age=90, life=10_000)
        assert (await process.next()).reason is Reason.REVOKED
        assert once_known() == responder.now - 90
        store.failing.add("lift")
        responder.manner = Manner(life=10_000)
        assert (await process.next()).passed
        assert once_known() == responder.now - 90
        assert (await process.next()).passed, "its own later good outweighs what is still written"

    def once_known() -> int | None:
        [(_, issuer_key, serial)] = known
        return memory.recall("asked", issuer_key, serial)

    known: set[tuple[str, str, str]] = set()
    learn = store.learn

    def noting(trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        known.add((trust_set, issuer_key, serial))
        learn(trust_set, issuer_key, serial, this_update)

    store.learn = noting  # type: ignore[method-assign] # -- to know the key that was used
    with capture_logs() as logged:
        asyncio.run(scene())
    assert [each["event"] for each in logged] == ["ocsp.unkept", "ocsp.unkept"]


def test_what_cannot_be_read_lets_nobody_in(responder: Responder, memory: OcspMemory) -> None:
    """Not even softly: it may have been revoked. The next login tries again, without a delay."""
    store = Broken(memory, "recall")

    async def scene() -> None:
        process = Process(responder, store, fail="soft")
        assert process.judge(_PEER).reason is Reason.REVOCATION_UNKNOWN, "nothing was read yet"
        await process.prepare(_PEER)
        finding = process.judge(_PEER)
        assert finding.reason is Reason.REVOCATION_UNKNOWN
        assert "could not be read" in finding.seen
        assert responder.asked == []
        store.failing.clear()
        await process.prepare(_PEER)
        await process.settle()
        assert process.judge(_PEER).passed
        store.failing.add("recall")
        assert (await process.next()).passed, "the good at hand is fresh"
        process.clock += 10_000
        await process.prepare(_PEER)
        assert process.judge(_PEER).reason is Reason.REVOCATION_UNKNOWN

    with capture_logs() as logged:
        asyncio.run(scene())
    assert {each["event"] for each in logged} == {"ocsp.unread"}
