"""CRLs from configured URLs: fetched beside the requests, within limits, from nowhere else."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from app.jose.document import UNPLACED, FetchFailed, Limits, RemoteDocuments
from app.pki import crl_fetch
from app.pki.anchors import TrustSet
from app.pki.crl import CLOCK_SKEW, LoadedCrl
from app.pki.crl_fetch import (
    CRL_LIMITS,
    MAX_FETCHES,
    MAX_INTERVAL,
    MAX_LARGE,
    MIN_INTERVAL,
    SETTLES,
    CrlFetcher,
)
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import OcspCache
from app.pki.revocation_policy import RevocationPolicy
from tests.kit import crls
from tests.kit.crls import DAY, Draft, draft, number
from tests.kit.https import Answer, HttpsServer, serving
from tests.kit.ocsp import Manner, responding
from tests.kit.patience import PATIENCE, patient, until
from tests.kit.world import World
from tests.pki.test_crl_store import Row

_WORLD = World()
_ROOT, _NOW = _WORLD.root, _WORLD.now
_CRL = "application/pkix-crl"


@pytest.fixture(autouse=True)
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source in this process may take longer than the limits on a machine that is busy."""
    monkeypatch.setattr(crl_fetch, "CRL_LIMITS", patient(crl_fetch.CRL_LIMITS))
    monkeypatch.setattr(crl_fetch, "WAIT_LIMIT", PATIENCE)


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with serving(tmp_path_factory.mktemp("crl-server")) as running:
        yield running


@pytest.fixture
def server(_server: HttpsServer) -> HttpsServer:
    """The module's server with a good list."""
    _server.answers = {"/ca.crl": Answer(crls.crl(_ROOT, _NOW), content_type=_CRL)}
    _server.seen.clear()
    return _server


class Party:
    """A process that fetches, with a registry of one row and a clock that can be moved."""

    def __init__(self, *urls: str, ca_file: object = None) -> None:
        documents = RemoteDocuments(allow_private=True, ca_file=ca_file)  # type: ignore[arg-type] # -- a path or nothing
        self.clock = _NOW
        self.stored: list[LoadedCrl] = []
        self.revocation = Revocation(lambda _digest: None, OcspCache.over(documents))
        policy = RevocationPolicy("crl", urls=urls)
        self.trust_set = TrustSet("kit", (_ROOT.certificate,), revocation=policy)
        self.fetcher = CrlFetcher(
            documents.fetch, self.revocation, self.deliver, lambda: self.clock
        )

    def deliver(self, trust_set: TrustSet, crl: LoadedCrl, der: bytes) -> bool:
        """As the store does: an older list is not taken."""
        assert trust_set is self.trust_set
        assert der[:1] == b"\x30"
        if self.stored and not crl.supersedes(self.stored[-1]):
            return False
        self.stored.append(crl)
        row = Row("kit", crl.issuer_key, crl.partition, crl.digest, crl.entries.count)
        self.revocation.follow(len(self.stored), [trust_set], [row])
        return True

    async def round(self, later: int = 0) -> list[int]:
        """A round after so many seconds; the numbers of what was stored so far."""
        self.clock += later
        await self.fetcher.round([self.trust_set])
        return [each.number for each in self.stored]

    @property
    def problem(self) -> str:
        """What was wrong with the first URL."""
        return next(iter(self.fetcher._sources.values())).problem


def of(server: HttpsServer, *paths: str) -> Party:
    """A party that fetches from the HTTPS server."""
    return Party(*(server.url(path) for path in paths or ("/ca.crl",)), ca_file=server.ca_file)


def test_a_list_is_fetched_and_counts(server: HttpsServer) -> None:
    """Without an operator's hand, and without being parsed twice."""
    party = of(server)
    assert asyncio.run(party.round()) == [1]
    assert [each.number for each in party.revocation.crls("kit")] == [1]
    assert party.problem == ""


def test_pem_and_any_content_type_are_taken(server: HttpsServer) -> None:
    """Servers call CRLs many things."""
    body = base64.encodebytes(crls.crl(_ROOT, _NOW))
    pem = b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"
    server.answers["/ca.crl"] = Answer(pem, content_type=None)
    assert asyncio.run(of(server).round()) == [1]


def test_plain_http_is_allowed_for_what_is_signed() -> None:
    """Most CAs publish their lists so."""
    with responding(_ROOT, _NOW) as responder:
        responder.manner = Manner(body=crls.crl(_ROOT, _NOW))
        assert asyncio.run(Party(responder.url).round()) == [1]


def test_the_next_fetch_follows_the_dates(server: HttpsServer) -> None:
    """Half of what is left of a list, within bounds; the same list is not stored again."""

    async def scene() -> None:
        party = of(server)
        await party.round()
        for later in (1, MIN_INTERVAL, MAX_INTERVAL - MIN_INTERVAL - 2):
            await party.round(later)
        assert server.hits == 1
        assert await party.round(1) == [1]
        assert server.hits == 2
        soon = Draft(_NOW, party.clock + 600, extensions=(number(2),))
        server.answers["/ca.crl"] = Answer(crls.sign(soon, _ROOT))
        assert await party.round(MAX_INTERVAL) == [1, 2]

    asyncio.run(scene())


def test_a_short_list_is_fetched_at_half_its_life(server: HttpsServer) -> None:
    """And never more often than once a minute."""

    async def scene() -> None:
        party = of(server)
        soon = Draft(_NOW, _NOW + 600, extensions=(number(2),))
        server.answers["/ca.crl"] = Answer(crls.sign(soon, _ROOT))
        await party.round()
        await party.round(299)
        assert server.hits == 1
        await party.round(1)
        assert server.hits == 2
        await party.round(270)
        assert server.hits == 3
        await party.round(MIN_INTERVAL - 1)
        assert server.hits == 3

    asyncio.run(scene())


_OTHER = crls.crl(_WORLD.evil, _NOW)
_BAD: dict[str, tuple[Answer, str]] = {
    "not found": (Answer(status=404), "status 404"),
    "redirect": (Answer(status=302, headers={"Location": "http://127.0.0.1/"}), "status 302"),
    "a page": (Answer(b"<html>"), "neither DER nor"),
    "empty": (Answer(b""), "neither DER nor"),
    "cut off": (Answer(crls.crl(_ROOT, _NOW), stated_length=9999), ""),
    "of another CA": (Answer(_OTHER), "Evil Root"),
    "compressed": (Answer(headers={"Content-Encoding": "gzip"}), "compressed"),
    "delta": (Answer(crls.sign(draft(_NOW).plus(crls.delta(1)), _ROOT)), "delta CRL"),
}


@pytest.mark.parametrize("case", _BAD)
def test_what_is_no_list_changes_nothing(server: HttpsServer, case: str) -> None:
    """The last good copy stays, there is one line in the log, and the next minute's try mends it."""
    good = server.answers["/ca.crl"]

    async def scene() -> None:
        party = of(server)
        await party.round()
        server.answers["/ca.crl"], says = _BAD[case]
        for later in (MAX_INTERVAL, MIN_INTERVAL, MIN_INTERVAL):
            assert await party.round(later) == [1]
        assert says in party.problem
        assert len(party.revocation.crls("kit")) == 1
        server.answers["/ca.crl"] = good
        await party.round(MIN_INTERVAL)
        assert party.problem == ""

    with capture_logs() as logged:
        asyncio.run(scene())
    assert [each["event"] for each in logged] == ["crl.fetch_failed", "crl.fetch_recovered"]


def test_an_older_list_is_refused(server: HttpsServer) -> None:
    """Somebody on the way cannot bring back the time before a revocation."""

    async def scene() -> None:
        party = of(server)
        server.answers["/ca.crl"] = Answer(crls.crl(_ROOT, _NOW, [7], count=5))
        await party.round()
        server.answers["/ca.crl"] = Answer(crls.crl(_ROOT, _NOW - DAY, count=4))
        assert await party.round(MAX_INTERVAL) == [5]
        assert "older than the one" in party.problem

    asyncio.run(scene())


def test_a_list_of_the_future_is_refused(server: HttpsServer) -> None:
    """It would replace the good one and count for nothing; the CA's clock may differ by minutes."""

    async def scene() -> None:
        party = of(server)
        await party.round()
        later = Draft(_NOW + DAY, _NOW + 9 * DAY, extensions=(number(9),))
        server.answers["/ca.crl"] = Answer(crls.sign(later, _ROOT))
        assert await party.round(MAX_INTERVAL) == [1]
        assert "begins only at" in party.problem
        assert [each.number for each in party.revocation.crls("kit")] == [1]
        skewed = replace(later, this_update=party.clock + MIN_INTERVAL + CLOCK_SKEW)
        server.answers["/ca.crl"] = Answer(crls.sign(skewed, _ROOT))
        assert await party.round(MIN_INTERVAL) == [1, 9]

    asyncio.run(scene())


def test_every_url_has_its_own_fate(server: HttpsServer) -> None:
    """One that is broken does not hold up another."""
    server.answers["/b.crl"] = Answer(status=500)
    assert asyncio.run(of(server, "/b.crl", "/ca.crl").round()) == [1]


def test_a_changed_trust_set_fetches_at_once(server: HttpsServer) -> None:
    """A policy or CA just added does not wait for the next hour."""

    async def scene() -> None:
        party = of(server)
        await party.round()
        party.trust_set = replace(
            party.trust_set,
            revocation=replace(party.trust_set.revocation, max_staleness=60),
        )
        await party.round(1)
        assert server.hits == 2
        await party.round(1)
        assert server.hits == 2

    asyncio.run(scene())


@pytest.mark.parametrize("mode", ["off", "ocsp"])
def test_only_sets_that_ask_crls_fetch_them(server: HttpsServer, mode: str) -> None:
    """A URL kept for another mode is not fetched from."""
    party = of(server)
    policy = RevocationPolicy(mode, urls=(server.url("/ca.crl"),))  # type: ignore[arg-type] # -- a mode
    party.trust_set = replace(party.trust_set, revocation=policy)
    assert asyncio.run(party.round()) == []
    assert server.hits == 0


def test_private_addresses_are_refused_unless_allowed(server: HttpsServer) -> None:
    """Configured or not: a URL does not lead into our own network by default."""
    party = of(server)
    documents = RemoteDocuments(ca_file=server.ca_file)
    party.fetcher = CrlFetcher.over(documents, party.revocation, party.deliver)
    assert asyncio.run(party.round()) == []
    assert "loopback" in party.problem
    assert server.hits == 0


def test_the_limits_hold(server: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Octets and seconds, here made small: a list that is too large or too slow is none."""
    monkeypatch.setattr(crl_fetch, "CRL_LIMITS", replace(patient(CRL_LIMITS), octets=100))
    party = of(server)
    assert asyncio.run(party.round()) == []
    assert "larger than 100" in party.problem
    server.answers["/ca.crl"] = Answer(b"", wait=600)
    monkeypatch.setattr(crl_fetch, "CRL_LIMITS", replace(CRL_LIMITS, seconds=0.5))
    asyncio.run(party.round(MIN_INTERVAL))
    assert "within 0.5 seconds" in party.problem


def test_a_broken_store_is_tried_again(server: HttpsServer) -> None:
    """A database that does not answer ends no loop."""
    party = of(server)

    def down(_set: TrustSet, _crl: LoadedCrl, _der: bytes) -> bool:
        raise OSError("database down")

    party.fetcher._deliver = down
    assert asyncio.run(party.round()) == []
    assert "database down" in party.problem


def test_few_fetches_run_at_once() -> None:
    """Each may hold 64 MiB."""
    running, most = 0, 0

    async def fetch(_url: str, _limits: Limits) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        raise FetchFailed("no")

    party = Party(*(f"https://ca{n}.example/" for n in range(10)))
    party.fetcher = CrlFetcher(fetch, party.revocation, party.deliver)
    asyncio.run(party.round())
    assert most == MAX_FETCHES


def test_few_large_lists_are_held_at_once(
    server: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many trust sets there are; a source that sends little, or nothing, takes no place."""
    monkeypatch.setattr(crl_fetch, "WAIT_LIMIT", 0.05)
    big = crls.sign(draft(_NOW).with_(entries=crls.many(40_000, _NOW)[0]), _ROOT)
    assert len(big) > UNPLACED
    server.answers |= {f"/big{n}.crl": Answer(big, content_type=_CRL) for n in range(5)}
    server.answers |= {f"/mute{n}.crl": Answer(b"", wait=600) for n in range(3)}
    sets = [
        _asking(path, server.url(f"/{path}.crl"))
        for path in ("mute0", "mute1", "mute2", "big0", "big1", "big2", "big3", "big4", "ca")
    ]
    party, gate, lock = of(server), threading.Event(), threading.Lock()
    storing: list[str] = []
    stored: list[str] = []

    def deliver(trust_set: TrustSet, _crl: LoadedCrl, _der: bytes) -> bool:
        with lock:
            storing.append(trust_set.name)
        if trust_set.name != "ca":
            gate.wait(PATIENCE)
        with lock:
            stored.append(trust_set.name)
        return True

    async def scene() -> None:
        fetcher = party.fetcher
        fetcher._deliver = deliver
        await fetcher.round(sets)
        await until(lambda: len(storing) >= 1 + MAX_LARGE and stored)
        assert stored == ["ca"], "a small list waits for no place"
        assert len(storing) == 1 + MAX_LARGE
        gate.set()
        await until(lambda: len(stored) >= 6)
        assert len(storing) == 6, "every one of them, in its turn"
        await fetcher.close()

    asyncio.run(scene())


def test_a_stored_list_that_does_not_count_is_told_once(server: HttpsServer) -> None:
    """Whatever lost it on the way: the log says so, and no more when the registry names it."""
    party = of(server)
    party.fetcher._deliver = lambda _set, _crl, _der: True  # and the registry never names it
    with capture_logs() as logs:
        for later in (0, 1, SETTLES, 1):
            asyncio.run(party.round(later))
    assert [each["event"] for each in logs] == ["crl.does_not_count"]
    assert logs[0]["trust_set"] == "kit"
    party = of(server)
    with capture_logs() as logs:
        for later in (0, 1, SETTLES, 1):
            asyncio.run(party.round(later))
    assert logs == []


def test_what_is_not_stored_is_not_kept(server: HttpsServer) -> None:
    """A list that the store refused, or could not take, is not held for a registry to name it."""

    def refuse(_set: TrustSet, _crl: LoadedCrl, _der: bytes) -> bool:
        return False

    def fail(_set: TrustSet, _crl: LoadedCrl, _der: bytes) -> bool:
        raise OSError("database down")

    for deliver in (refuse, fail):
        party = of(server)
        party.fetcher._deliver = deliver
        asyncio.run(party.round())
        assert party.problem
        assert party.revocation._offered == {}


class Hanging:
    """Fetches that never end, and the URLs they are for; those of others are refused at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, url: str, _limits: Limits) -> bytes:
        """Fetch."""
        self.begun.append(url)
        if "slow" not in url:
            raise FetchFailed("no")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled.append(url)
            raise
        raise AssertionError(url)


def _asking(name: str, *urls: str) -> TrustSet:
    return TrustSet(name, (_ROOT.certificate,), revocation=RevocationPolicy("crl", urls=urls))


def test_hanging_sources_delay_no_other_trust_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the round in which they are met, and not in the next one, which comes soon."""
    monkeypatch.setattr(crl_fetch, "WAIT_LIMIT", 0.05)
    slow = _asking("slow", *(f"https://slow{n}.example/" for n in range(9)))
    good, hanging, party = _asking("good", "https://good.example/"), Hanging(), Party()

    async def scene() -> None:
        fetcher = CrlFetcher(hanging, party.revocation, party.deliver, lambda: party.clock)
        await fetcher.round([slow, good])
        party.clock += MIN_INTERVAL
        await fetcher.round([slow, good])
        assert hanging.cancelled == [], "the rounds ended before the source did"
        slow_begun = hanging.begun.count("https://slow0.example/")
        assert (slow_begun, hanging.begun.count("https://good.example/")) == (1, 2)
        await fetcher.close()

    asyncio.run(scene())
    assert hanging.cancelled == ["https://slow0.example/"]


def test_what_is_not_wanted_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL taken out of the policy does not hold up the one put in its place."""
    monkeypatch.setattr(crl_fetch, "WAIT_LIMIT", 0.05)
    hanging, party = Hanging(), Party()

    async def scene() -> None:
        fetcher = CrlFetcher(hanging, party.revocation, party.deliver, lambda: party.clock)
        await fetcher.round([_asking("kit", "https://slow.example/")])
        await fetcher.round([_asking("kit", "https://good.example/")])
        assert hanging.cancelled == ["https://slow.example/"]
        assert hanging.begun == ["https://slow.example/", "https://good.example/"]
        await fetcher.close()

    asyncio.run(scene())
