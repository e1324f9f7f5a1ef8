"""Bundles from files and from real HTTPS endpoints: fresh, stale, broken, going back, hanging."""

import asyncio
import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.clients.bundles import (
    DEFAULT_REFRESH,
    LIMITS,
    MAX_REFRESH,
    MIN_REFRESH,
    RETRY_AFTER,
    Bundles,
    BundleStatus,
    checked_source,
    is_stale,
    refresh_interval,
    usable_for,
)
from app.errors import Reason
from app.jose.document import RemoteDocuments
from app.pki.bundle import MAX_BUNDLE
from app.store import audit, registry
from app.store.engine import Database
from app.store.trust import BundleRow, TrustSetRow
from tests.clients_room.federation import Federation
from tests.kit.asgi import staged
from tests.kit.https import Answer, HttpsServer, serving
from tests.kit.patience import PATIENCE, patient, until
from tests.kit.stages import template

BOT = "spiffe://acme.example/bot"


@pytest.fixture(autouse=True)
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint in this process may take longer than the limits on a machine that is busy."""
    monkeypatch.setattr("app.clients.bundles.LIMITS", patient(LIMITS))
    monkeypatch.setattr("app.clients.bundles.WAIT_LIMIT", PATIENCE)


@pytest.fixture(scope="module")
def _endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with serving(tmp_path_factory.mktemp("https")) as running:
        yield running


@pytest.fixture
def endpoint(_endpoint: HttpsServer) -> HttpsServer:
    """The module's bundle endpoint with nothing to say yet."""
    _endpoint.answers = {}
    _endpoint.seen.clear()
    return _endpoint


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """A registry without SPIFFE trust sets."""
    with staged(template(), tmp_path / "home") as stage:
        yield Federation(stage)


@dataclass
class Loader:
    """A loader over the federation's registry, with a clock to turn."""

    federation: Federation
    ca_file: Path | None = None
    allow_private: bool = True
    ahead: int = 0
    bundles: Bundles = field(init=False)

    def __post_init__(self) -> None:
        documents = RemoteDocuments(allow_private=self.allow_private, ca_file=self.ca_file)
        self.bundles = Bundles(
            self.federation.stage.house.database,
            lambda: self.federation.snapshot().bundle_rows(),
            documents,
            now=lambda: self.federation.now + self.ahead,
        )

    def refresh(self, *, after: int = 0) -> list[dict[str, Any]]:
        """One round `after` seconds later; what was logged."""
        self.ahead += after
        with capture_logs() as logs:
            asyncio.run(self.bundles.refresh_once())
        return [dict(line) for line in logs]

    def status(self) -> dict[str, BundleStatus]:
        """By trust set."""
        return {each.trust_set: each for each in self.bundles.status()}

    def ask(self, leaf: bytes) -> object:
        """Which trust set lets the client in at the loader's time, or the reason why none does."""
        return self.federation.ask(leaf, later=self.ahead)[0]


def document(federation: Federation, *labels: str, **members: Any) -> bytes:
    """A bundle of the roots `labels`."""
    keys = [
        {
            "kty": "EC",
            "use": "x509-svid",
            "x5c": [base64.b64encode(federation.authority(label).certificate).decode()],
        }
        for label in labels
    ]
    return json.dumps({"keys": [{"kty": "EC", "use": "jwt-svid"}, *keys], **members}).encode()


def follow(federation: Federation, name: str, source: str, **members: Any) -> None:
    """A trust set that follows a source, empty at first."""
    row = BundleRow(source=source, **{"max_staleness": 0, **members})
    federation.trust(name, domain=f"{name}.example", bundle=row)


def events(database: Database) -> Sequence[dict[str, Any]]:
    """The audit entries about bundles."""
    with database.read() as conn:
        rows = [row for row in audit.tail(conn, 100) if row.event == "bundle.replaced"]
    return [json.loads(row.body) for row in rows]


def version(federation: Federation) -> int:
    """The registry's version."""
    with federation.stage.house.database.read() as conn:
        return registry.version(conn)


def test_a_domain_rotates_through_its_endpoint(
    federation: Federation, endpoint: HttpsServer
) -> None:
    """From no anchors to the first, to both, to the new one alone: each bites at the next request."""
    follow(federation, "acme", endpoint.url("/acme"))
    federation.client("acme", spiffe_id=BOT)
    loader = Loader(federation, endpoint.ca_file)
    old, new = federation.svid("one", BOT), federation.svid("two", BOT)
    assert loader.ask(old) is Reason.BUNDLE_STALE
    for sequence, (labels, expected) in enumerate(
        [
            (["one"], ("acme", Reason.ISSUER_UNKNOWN)),
            (["one", "two"], ("acme", "acme")),
            (["two"], (Reason.ISSUER_UNKNOWN, "acme")),
        ]
    ):
        body = document(federation, *labels, spiffe_sequence=sequence, spiffe_refresh_hint=60)
        endpoint.answers["/acme"] = Answer(body)
        assert loader.refresh(after=60) == []
        assert (loader.ask(old), loader.ask(new)) == expected
    assert [each["details"]["sequence"] for each in events(federation.stage.house.database)] == [
        0,
        1,
        2,
    ]
    last = events(federation.stage.house.database)[-1]
    assert last["actor"] == "server"
    assert last["details"]["dropped"] == [federation.anchor("one").thumbprint]
    assert last["details"]["added"] == []


def test_two_domains_are_federated(federation: Federation, endpoint: HttpsServer) -> None:
    """Each domain's bundle comes from its own endpoint and vouches for its own IDs only."""
    for name in ("acme", "other"):
        follow(federation, name, endpoint.url(f"/{name}"))
        endpoint.answers[f"/{name}"] = Answer(document(federation, name))
    federation.client("acme", "other", spiffe_id=BOT)
    loader = Loader(federation, endpoint.ca_file)
    loader.refresh()
    assert loader.ask(federation.svid("acme", BOT)) == "acme"
    assert loader.ask(federation.svid("other", BOT)) is Reason.ISSUER_UNKNOWN
    same_path = federation.svid("other", "spiffe://other.example/bot")
    assert loader.ask(same_path) is Reason.SAN_MISMATCH
    federation.client("acme", "other", spiffe_id="spiffe://other.example/bot")
    assert loader.ask(same_path) == "other"


def test_the_hint_decides_when_to_ask_again(federation: Federation, endpoint: HttpsServer) -> None:
    """Not before the interval, then once; an unchanged bundle renews the date without an entry."""
    follow(federation, "acme", endpoint.url())
    endpoint.answers["/jwks"] = Answer(
        document(federation, "one", spiffe_sequence=1, spiffe_refresh_hint=100)
    )
    loader = Loader(federation, endpoint.ca_file)
    loader.refresh()
    loader.refresh(after=99)
    assert endpoint.hits == 1
    assert loader.status()["acme"].age == 99
    loader.refresh(after=1)
    assert endpoint.hits == 2
    assert loader.status()["acme"].age == 0
    assert len(events(federation.stage.house.database)) == 1


def test_another_process_spares_this_one_the_work(
    federation: Federation, endpoint: HttpsServer
) -> None:
    """What one process loaded, a second one finds loaded."""
    follow(federation, "acme", endpoint.url())
    endpoint.answers["/jwks"] = Answer(document(federation, "one"))
    Loader(federation, endpoint.ca_file).refresh()
    Loader(federation, endpoint.ca_file).refresh(after=10)
    assert endpoint.hits == 1


@pytest.mark.parametrize("later", [1, None])
def test_the_sequence_never_goes_back(
    federation: Federation, endpoint: HttpsServer, later: int | None
) -> None:
    """An older or missing sequence changes nothing, is logged once, and lets the copy go stale."""
    follow(federation, "acme", endpoint.url())
    federation.client("acme", spiffe_id=BOT)
    loader = Loader(federation, endpoint.ca_file)
    endpoint.answers["/jwks"] = Answer(document(federation, "two", spiffe_sequence=2**64))
    loader.refresh()
    before = version(federation)
    members = {} if later is None else {"spiffe_sequence": later}
    endpoint.answers["/jwks"] = Answer(document(federation, "one", **members))
    logs = [loader.refresh(after=DEFAULT_REFRESH), loader.refresh(after=RETRY_AFTER)]
    assert [[line["event"] for line in each] for each in logs] == [["bundle.failed"], []]
    assert "goes back" in logs[0][0]["problem"]
    assert endpoint.hits == 3
    assert version(federation) == before
    assert loader.ask(federation.svid("one", BOT)) is Reason.ISSUER_UNKNOWN
    assert loader.ask(federation.svid("two", BOT)) == "acme"
    loader.refresh(after=DEFAULT_REFRESH)
    assert loader.ask(federation.svid("two", BOT)) is Reason.BUNDLE_STALE


def bad_answers(federation: Federation) -> dict[str, Answer]:
    """What an endpoint must never make us believe."""
    leaf = base64.b64encode(federation.svid("one", BOT)).decode()
    no_ca = json.dumps({"keys": [{"kty": "EC", "use": "x509-svid", "x5c": [leaf]}]}).encode()
    good = document(federation, "two")
    return {
        "gone": Answer(good, status=404),
        "moved": Answer(good, status=302, headers={"Location": "/other"}),
        "huge": Answer(b" " * MAX_BUNDLE + good),
        "broken": Answer(good[:-1]),
        "short": Answer(good, stated_length=len(good) + 1),
        "twice": Answer(b'{"keys":[],' + good[1:]),
        "empty": Answer(b'{"keys":[]}'),
        "no CA": Answer(no_ca),
        "web page": Answer(good, content_type="text/html"),
    }


def test_whatever_an_endpoint_says_wrong_keeps_the_copy(
    federation: Federation, endpoint: HttpsServer
) -> None:
    """Each wrong answer is logged once, changes nothing, and is forgotten by the next good one."""
    follow(federation, "acme", endpoint.url(), max_staleness=100 * MAX_REFRESH)
    federation.client("acme", spiffe_id=BOT)
    loader = Loader(federation, endpoint.ca_file)
    good = Answer(document(federation, "one"))
    endpoint.answers["/jwks"] = good
    loader.refresh()
    before = version(federation)
    for name, answer in bad_answers(federation).items():
        endpoint.answers["/jwks"] = answer
        logs = loader.refresh(after=DEFAULT_REFRESH) + loader.refresh(after=RETRY_AFTER)
        assert [line["event"] for line in logs] == ["bundle.failed"], name
        assert (version(federation), loader.ask(federation.svid("one", BOT))) == (before, "acme")
        assert loader.status()["acme"].problem == logs[0]["problem"]
    endpoint.answers["/jwks"] = good
    assert [line["event"] for line in loader.refresh(after=RETRY_AFTER)] == ["bundle.recovered"]
    assert loader.status()["acme"].problem is None


def test_a_hanging_endpoint_holds_up_nobody(
    federation: Federation, endpoint: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one endpoint is silent, the other is loaded, asked for nothing twice, and closed in time."""
    monkeypatch.setattr("app.clients.bundles.WAIT_LIMIT", 0.5)
    for name in ("acme", "slow"):
        follow(federation, name, endpoint.url(f"/{name}"))
    endpoint.answers = {
        "/acme": Answer(document(federation, "one")),
        "/slow": Answer(document(federation, "two"), wait=600),
    }
    loader = Loader(federation, endpoint.ca_file)

    def half_done() -> bool:
        asked = [seen.path for seen in endpoint.seen]
        return "/slow" in asked and not loader.status()["acme"].stale

    async def rounds() -> None:
        await loader.bundles.refresh_once()
        await until(half_done)
        loader.ahead += 2 * RETRY_AFTER
        await loader.bundles.refresh_once()
        await loader.bundles.close()

    asyncio.run(rounds())
    assert [seen.path for seen in endpoint.seen].count("/slow") == 1
    status = loader.status()
    assert status["slow"].stale
    assert not status["acme"].stale


def test_a_stale_copy_is_told_once(federation: Federation, endpoint: HttpsServer) -> None:
    """When the copy ages out there is one error in the log, and none when it is fresh again."""
    follow(federation, "acme", endpoint.url())
    loader = Loader(federation, endpoint.ca_file)
    good = Answer(document(federation, "one"))
    endpoint.answers["/jwks"] = good
    loader.refresh()
    del endpoint.answers["/jwks"]
    told = [
        line["event"]
        for _ in range(5)
        for line in loader.refresh(after=DEFAULT_REFRESH)
        if line["log_level"] == "error"
    ]
    assert told == ["bundle.stale"]
    assert loader.status()["acme"].stale
    endpoint.answers["/jwks"] = good
    loader.refresh(after=RETRY_AFTER)
    assert not loader.status()["acme"].stale


def test_private_addresses_are_refused_unless_allowed(
    federation: Federation, endpoint: HttpsServer
) -> None:
    """A URL into our own network is not even connected to."""
    follow(federation, "acme", endpoint.url())
    connections = endpoint.connections
    loader = Loader(federation, endpoint.ca_file, allow_private=False)
    (line,) = loader.refresh()
    assert "loopback" in line["problem"]
    assert endpoint.connections == connections


def test_the_endpoints_certificate_must_verify(
    federation: Federation, endpoint: HttpsServer
) -> None:
    """Without its CA nothing is fetched: the bundle endpoint is authenticated by the web's rules."""
    follow(federation, "acme", endpoint.url())
    (line,) = Loader(federation).refresh()
    assert "certificate verify failed" in line["problem"]
    assert endpoint.hits == 0


def test_plain_http_is_refused(federation: Federation) -> None:
    """A source that got into the registry some other way is judged again."""
    follow(federation, "acme", "http://bundle.example/")
    (line,) = Loader(federation).refresh()
    assert "https://" in line["problem"]


def test_a_file_is_followed(federation: Federation, tmp_path: Path) -> None:
    """A bundle file is read again at its interval; a broken or vanished one keeps the copy."""
    path = tmp_path / "bundle.json"
    follow(federation, "acme", str(path))
    federation.client("acme", spiffe_id=BOT)
    loader = Loader(federation)
    assert [line["event"] for line in loader.refresh()] == ["bundle.failed"]
    path.write_bytes(document(federation, "one"))
    assert [line["event"] for line in loader.refresh(after=RETRY_AFTER)] == ["bundle.recovered"]
    assert loader.ask(federation.svid("one", BOT)) == "acme"
    path.write_bytes(b"{")
    problems = [loader.refresh(after=DEFAULT_REFRESH)]
    path.unlink()
    problems.append(loader.refresh(after=RETRY_AFTER))
    assert [[line["event"] for line in each] for each in problems] == [["bundle.failed"]] * 2
    assert loader.ask(federation.svid("one", BOT)) == "acme"
    loader.refresh(after=DEFAULT_REFRESH)
    assert loader.ask(federation.svid("one", BOT)) is Reason.BUNDLE_STALE


def test_only_a_regular_file_within_the_cap_is_read(federation: Federation, tmp_path: Path) -> None:
    """A pipe cannot hang the loader, a device or a directory cannot feed it for ever."""
    pipe, big = tmp_path / "pipe", tmp_path / "big"
    os.mkfifo(pipe)
    big.write_bytes(b" " * (MAX_BUNDLE + 1))
    for name, source in (
        ("pipe", pipe),
        ("zero", Path("/dev/zero")),
        ("folder", tmp_path),
        ("big", big),
    ):
        follow(federation, name, str(source))
    loader = Loader(federation)
    assert {line["event"] for line in loader.refresh()} == {"bundle.failed"}
    problems = {name: each.problem for name, each in loader.status().items()}
    assert set(problems) == {"pipe", "zero", "folder", "big"}
    assert all(problems.values())


def test_a_set_changed_meanwhile_is_left_alone(federation: Federation, tmp_path: Path) -> None:
    """A load that was under way when an operator removed or redirected the set stores nothing."""
    path = tmp_path / "bundle.json"
    path.write_bytes(document(federation, "one"))
    follow(federation, "acme", str(path))
    loader = Loader(federation)
    (row,) = federation.snapshot().bundle_rows()
    follow(federation, "acme", str(tmp_path / "other.json"))
    before = version(federation)
    assert "another source" in str(asyncio.run(loader.bundles.refresh(row)))
    federation.trust("acme", domain="acme.example")
    assert "removed" in str(asyncio.run(loader.bundles.refresh(row)))
    assert version(federation) == before + 1
    (row,) = [each for each in _rows(federation) if each.name == "acme"]
    assert "no bundle" in str(asyncio.run(loader.bundles.refresh(row)))


def _rows(federation: Federation) -> list[TrustSetRow]:
    found = federation.snapshot().trust_row("acme")
    return [] if found is None else [found]


def test_a_new_source_is_read_at_once(federation: Federation, tmp_path: Path) -> None:
    """An operator who mends the source does not wait for the retry of the old one."""
    follow(federation, "acme", str(tmp_path / "none"))
    loader = Loader(federation)
    loader.refresh()
    path = tmp_path / "bundle.json"
    path.write_bytes(document(federation, "one"))
    follow(federation, "acme", str(path))
    loader.refresh()
    assert loader.status()["acme"].age == 0


def test_an_unavailable_database_is_a_problem_not_an_end(
    federation: Federation, tmp_path: Path
) -> None:
    """A load that cannot be stored is tried again."""
    path = tmp_path / "bundle.json"
    path.write_bytes(document(federation, "one"))
    follow(federation, "acme", str(path))
    rows = federation.snapshot().bundle_rows()
    with closing(_Elsewhere(tmp_path)) as elsewhere:
        bundles = Bundles(elsewhere.database, lambda: rows, RemoteDocuments())
        with capture_logs() as logs:
            asyncio.run(bundles.refresh_once())
    assert [line["event"] for line in logs] == ["bundle.failed"]


class _Elsewhere:
    """A database whose folder does not exist."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder}/none/certbound.db")

    def close(self) -> None:
        self.database.dispose()


@pytest.mark.parametrize(
    ("hint", "staleness", "interval", "usable"),
    [
        (None, 0, DEFAULT_REFRESH, 2 * DEFAULT_REFRESH),
        (0, 0, MIN_REFRESH, 2 * MIN_REFRESH),
        (59, 0, MIN_REFRESH, 2 * MIN_REFRESH),
        (3600, 0, 3600, 7200),
        (2**31 - 1, 0, MAX_REFRESH, 2 * MAX_REFRESH),
        (3600, 600, 300, 600),
        (3600, 86400, 3600, 86400),
        (3600, 1, MIN_REFRESH, 2 * MIN_REFRESH),
    ],
)
def test_intervals_are_bounded(
    hint: int | None, staleness: int, interval: int, usable: int
) -> None:
    """The hint within 60 seconds and a day; staleness as configured or two intervals."""
    row = BundleRow(source="/x", max_staleness=staleness, refresh_hint=hint, fetched_at=1000)
    assert (refresh_interval(row), usable_for(row)) == (interval, usable)
    assert not is_stale(row, 1000 + usable)
    assert is_stale(row, 1000 + usable + 1)
    assert is_stale(row, 1000 - usable - 1)


def test_a_source_is_a_file_or_an_https_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are kept by absolute path; other schemes and broken URLs are refused when configured."""
    monkeypatch.chdir(tmp_path)
    assert checked_source("bundle.json") == str(tmp_path / "bundle.json")
    assert checked_source("https://bundle.example/x") == "https://bundle.example/x"
    for wrong in ("", "http://bundle.example/", "file:///x", "https://u@bundle.example/", "a\0b"):
        with pytest.raises(ValueError, match=r"."):
            checked_source(wrong)
