"""Clients that publish their keys: fetched when needed, kept when gone, never in others' way."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.flows.test_self_signed_clients import SELF_SIGNED, jwk_with_certificate
from tests.kit import https, ledger, tokens
from tests.kit.https import Answer, HttpsServer
from tests.kit.issuing import issue
from tests.kit.running import Running, running
from tests.kit.timed import PATIENCE

MINUTE, HOUR = 60, 3600


@dataclass
class Publishing:
    """A server of ours, a key server of a client's, and the hand on our server's clock."""

    server: Running
    published: HttpsServer
    clock: Path

    def pass_time(self, seconds: int) -> None:
        """Move the server's clock on."""
        self.clock.write_text(str(int(self.clock.read_text()) + seconds))

    def publish(self, *names: str) -> None:
        """Serve a key set with these certificates."""
        keys = [jwk_with_certificate(self.server.file(f"{name}.crt")) for name in names]
        self.published.answers["/jwks"] = Answer(json.dumps({"keys": keys}).encode())

    def go_down(self, answer: Answer | None = None) -> None:
        """From now on there is no key set to be had."""
        self.published.answers["/jwks"] = answer or Answer(status=500)

    def ask(self, name: str, client_id: str = "publisher") -> httpx2.Response:
        """A token request with a certificate."""
        return tokens.ask_as(self.server, name, client_id)


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishing]:
    """Both servers, client ``publisher`` and four self-signed certificates a to d."""
    patience = {"FETCH_PATIENCE": str(PATIENCE)}
    with publishing_in(tmp_path_factory.mktemp("patient"), patience) as started:
        yield started


@contextmanager
def publishing_in(folder: Path, more: dict[str, str]) -> Iterator[Publishing]:
    """The same in directories of its own; `more` is for `tests.kit.shifted`."""
    home, clock, web = folder / "home", folder / "shift", folder / "https"
    clock.write_text("0")
    home.mkdir()
    web.mkdir()
    with (
        https.serving(web) as published,
        running(
            home,
            program="tests.kit.shifted",
            extra={"CLOCK_SHIFT_FILE": str(clock), **more},
            jwks_uri_allow_private="true",
            jwks_uri_ca_file=str(published.ca_file),
        ) as server,
    ):
        for name in "abcd":
            issue(server.home / "certs", name, seconds=90 * 24 * HOUR, self_signed=True)
        server.certbound("client", "add", "publisher", *SELF_SIGNED, "--jwks-uri", published.url())
        yield Publishing(server, published, clock)


@pytest.fixture
def publishing(at_home: Publishing) -> Publishing:
    """The same, with certificate a published and everything that was fetched before too old."""
    at_home.publish("a")
    at_home.pass_time(25 * HOUR)
    return at_home


def reason(publishing: Publishing, response: httpx2.Response) -> str:
    """Why a request was refused."""
    return ledger.reason(publishing.server, tokens.refused(response))


def test_a_published_certificate_works_and_is_fetched_once(publishing: Publishing) -> None:
    """The first request fetches; those after it do not, and the token is bound to the certificate."""
    before = publishing.published.hits
    found = [tokens.issued(publishing.ask("a")) for _ in range(5)]
    assert publishing.published.hits == before + 1
    assert tokens.verified(publishing.server, found[-1])["client_id"] == "publisher"


def test_an_unknown_certificate_costs_one_fetch_a_minute(publishing: Publishing) -> None:
    """However often it knocks; a newly published one is picked up on the first knock after that."""
    tokens.issued(publishing.ask("a"))
    publishing.publish("a", "b")
    before = publishing.published.hits
    refusals = [publishing.ask("b") for _ in range(10)]
    assert {reason(publishing, each) for each in refusals} == {"thumbprint_unregistered"}
    assert publishing.published.hits == before
    publishing.pass_time(MINUTE + 1)
    tokens.issued(publishing.ask("b"))
    assert publishing.published.hits == before + 1
    tokens.issued(publishing.ask("a"))
    for _ in range(5):
        assert reason(publishing, publishing.ask("c")) == "thumbprint_unregistered"
    assert publishing.published.hits == before + 1
    publishing.pass_time(MINUTE + 1)
    for _ in range(5):
        assert reason(publishing, publishing.ask("c")) == "thumbprint_unregistered"
    assert publishing.published.hits == before + 2


def test_a_withdrawn_certificate_stops_counting(publishing: Publishing) -> None:
    """After the next fetch the old one is refused."""
    tokens.issued(publishing.ask("a"))
    publishing.publish("d")
    publishing.pass_time(11 * MINUTE)
    assert reason(publishing, publishing.ask("a")) == "thumbprint_unregistered"
    tokens.issued(publishing.ask("d"))


def test_a_dead_key_server_is_survived_for_a_day(publishing: Publishing) -> None:
    """The last good copy counts for 24 hours, then fails closed, and recovers by itself."""
    tokens.issued(publishing.ask("a"))
    publishing.go_down()
    for _ in range(3):
        publishing.pass_time(7 * HOUR)
        tokens.issued(publishing.ask("a"))
    publishing.pass_time(4 * HOUR)
    assert reason(publishing, publishing.ask("a")) == "thumbprint_unregistered"
    publishing.publish("a")
    publishing.pass_time(MINUTE + 1)
    tokens.issued(publishing.ask("a"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b'{"keys":[', status=200),
        Answer(b"", status=302, headers={"Location": "/elsewhere"}),
        Answer(b"{}" + b" " * 100_000),
        Answer(b'{"keys":[{"kty":"oct","k":"AAAA"}]}'),
    ],
    ids=["cut off", "redirect", "too large", "secret key"],
)
def test_a_bad_answer_counts_as_none(publishing: Publishing, answer: Answer) -> None:
    """Never an error of ours, never a redirect followed, and the copy from before still counts."""
    tokens.issued(publishing.ask("a"))
    publishing.go_down(answer)
    publishing.pass_time(11 * MINUTE)
    tokens.issued(publishing.ask("a"))
    assert reason(publishing, publishing.ask("c")) == "thumbprint_unregistered"
    assert "/elsewhere" not in {each.path for each in publishing.published.seen}


def test_a_hanging_key_server_delays_only_its_own_client(tmp_path: Path) -> None:
    """While one client waits for its keys, others get tokens; it is refused while they hang still."""
    answers: list[httpx2.Response] = []
    meanwhile = 0
    with publishing_in(tmp_path, {}) as publishing, publishing.server.client() as bot:
        publishing.go_down(Answer(wait=600))
        waiting = threading.Thread(target=lambda: answers.append(publishing.ask("a")))
        tokens.issued(tokens.ask(bot, publishing.server.mtls_token_url))
        started = time.monotonic()
        waiting.start()
        while not publishing.published.hits:
            tokens.issued(tokens.ask(bot, publishing.server.mtls_token_url))
        while waiting.is_alive():
            tokens.issued(tokens.ask(bot, publishing.server.mtls_token_url))
            meanwhile += waiting.is_alive()
        assert time.monotonic() - started > 1.5, "two seconds are the limit of a fetch"
        assert reason(publishing, answers[0]) == "thumbprint_unregistered"
    assert meanwhile > 3


def test_private_addresses_are_not_fetched_from(server: Running, tmp_path: Path) -> None:
    """Without the setting that allows it, a jwks_uri on this machine gets no connection at all."""
    with https.serving(tmp_path) as published:
        issue(server.home / "certs", "inward", self_signed=True)
        own = {"keys": [jwk_with_certificate(server.file("inward.crt"))]}
        published.answers["/jwks"] = Answer(json.dumps(own).encode())
        server.certbound("client", "add", "inward", *SELF_SIGNED, "--jwks-uri", published.url())
        response = tokens.ask_as(server, "inward")
        assert published.connections == 0
    assert ledger.reason(server, tokens.refused(response)) == "thumbprint_unregistered"
