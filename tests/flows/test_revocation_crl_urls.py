"""CRLs from configured URLs: fetched in the background, and never in the way of a login."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit import crls, placing
from tests.kit.ca import Authority
from tests.kit.crls import DAY, serial_of
from tests.kit.https import Answer
from tests.kit.live import claims, live, reason
from tests.kit.ocsp import responding
from tests.kit.running import Running
from tests.kit.timed import Timed, eventually, timed

HOUR = 3600
TOO_LARGE = 64 * 1024 * 1024 + 1


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    """A server with a clock to move, and the web server of the CAs."""
    with timed(tmp_path_factory.mktemp("timed")) as started:
        yield started


@dataclass(frozen=True)
class Published:
    """A client, and the CA that publishes lists about it."""

    at: Timed
    name: str
    authority: Authority
    serial: int

    @property
    def path(self) -> str:
        """Where its CRL is on the web server."""
        return f"/{self.name}.crl"

    def publish(self, count: int, *serials: int) -> None:
        """Publish the CA's list of this number."""
        self.answer(Answer(crls.crl(self.authority, self.at.now, serials, count=count)))

    def answer(self, answer: Answer) -> None:
        """Answer so from now on."""
        self.at.web.answers[self.path] = answer

    @property
    def hits(self) -> int:
        """How often the list was fetched."""
        return sum(each.path == self.path for each in self.at.web.seen)

    def works_soon(self) -> None:
        """Wait until the client gets a token."""
        with live(self.at.server, self.name) as ask:
            eventually(lambda: ask().status == 200)

    def fetched_again(self) -> None:
        """Wait until the server has asked for the list once more, and had time to take it."""
        before = self.hits
        eventually(lambda: self.hits > before)


def published(at: Timed, name: str) -> Published:
    """A client of a trust set of its own, both called `name`; the set asks a URL for CRLs."""
    authority = placing.root(f"CA of {name}")
    server = at.server
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    der = placing.place(server, name, authority)
    server.certbound("client", "add", name, "--subject-dn", f"CN={name}", "--trust", name)
    return Published(at, name, authority, serial_of(der))


def ask_urls(us: Published) -> None:
    """Let the set be judged by the list at its URL."""
    url = us.at.web.url(us.path)
    us.at.server.certbound("trust", "revocation", us.name, "crl", "--url", url)


def test_a_list_is_fetched_and_followed(at: Timed) -> None:
    """Configured, fetched and counting within seconds; a new one is noticed within the hour."""
    us = published(at, "followed")
    us.publish(1)
    with live(at.server, "followed") as ask:
        ask_urls(us)
        eventually(lambda: ask().status == 200)
        us.publish(2, us.serial)
        at.pass_time(HOUR + 1)
        eventually(lambda: ask().status == 401)
        assert reason(at.server, ask()) == "revoked"
        us.publish(1)
        at.pass_time(HOUR + 1)
        us.fetched_again()
        eventually(lambda: "older" in at.server.log)
        assert reason(at.server, ask()) == "revoked", "an older list changes nothing"
        us.publish(3)
        at.pass_time(HOUR + 1)
        eventually(lambda: ask().status == 200)


def test_two_sets_of_one_ca_and_one_url_both_get_the_list(at: Timed) -> None:
    """Also the one that asks later and fails softly: what the list revokes gets in nowhere."""
    server, first = at.server, published(at, "shared")
    file = str(placing.authority_file(server, first.authority, "shared"))
    server.certbound("trust", "add", "shared-too", file)
    der = placing.place(server, "shared-too", first.authority)
    server.certbound(
        "client", "add", "shared-too", "--subject-dn", "CN=shared-too", "--trust", "shared-too"
    )
    first.publish(1, serial_of(der))
    ask_urls(first)
    first.works_soon()
    url = at.web.url(first.path)
    with live(server, "shared-too") as ask:
        assert ask().status == 200
        server.certbound("trust", "revocation", "shared-too", "crl", "--url", url, "--soft")
        eventually(lambda: ask().status == 401)
        assert reason(server, ask()) == "revoked"


BAD = {
    "cut-off": Answer(b"\x30" * 1024, stated_length=4096),
    "endless": Answer(b"\x30" * (TOO_LARGE + 1024), stated_length=-1),
    "redirecting": Answer(b"", status=302, headers={"Location": "/elsewhere"}),
    "broken": Answer(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
    "gone": Answer(b"", status=404),
    "html": Answer(b"<html>Our CA has moved.</html>", content_type="text/html"),
}


def test_a_source_that_fails_leaves_the_last_good_list(at: Timed) -> None:
    """Whatever it does instead: logged once, and the list counts until its next update."""
    everyone = {name: published(at, name) for name in BAD}
    for us in everyone.values():
        us.publish(1)
        ask_urls(us)
    for us in everyone.values():
        us.works_soon()
    for name, us in everyone.items():
        us.answer(BAD[name])
    at.pass_time(HOUR + 1)
    eventually(lambda: all(failures(at.server, name) == 1 for name in everyone))
    before = {name: us.hits for name, us in everyone.items()}
    at.pass_time(HOUR + 1)
    eventually(lambda: all(us.hits > before[name] for name, us in everyone.items()))
    for name in everyone:
        with live(at.server, name) as ask:
            assert claims(ask())["sub"] == name
    assert "/elsewhere" not in {each.path for each in at.web.seen}
    at.pass_time(7 * DAY)
    for name in everyone:
        with live(at.server, name) as ask:
            assert reason(at.server, ask()) == "revocation_unknown"
    for us in everyone.values():
        us.publish(2)
    at.pass_time(61)
    for name, us in everyone.items():
        assert failures(at.server, name) == 1
        us.works_soon()


def failures(server: Running, name: str) -> int:
    """How often the log says that this set's list could not be had."""
    lines = [line for line in server.log.splitlines() if "crl.fetch_failed" in line]
    return sum(f"/{name}.crl" in line for line in lines)


def test_a_source_that_hangs_delays_nobody(at: Timed) -> None:
    """While a list is on its slow way, the client it is about and others get their tokens."""
    us, other = published(at, "hanging"), published(at, "beside")
    for each in (us, other):
        each.publish(1)
        ask_urls(each)
    with live(at.server, "hanging") as ask, live(at.server, "beside") as ask_beside:
        eventually(lambda: ask().status == 200)
        eventually(lambda: ask_beside().status == 200)
        us.answer(Answer(b"too late", wait=600))
        at.pass_time(HOUR + 1)
        us.fetched_again()
        for _ in range(20):
            assert claims(ask())["sub"] == "hanging"
            assert claims(ask_beside())["sub"] == "beside"
        assert failures(at.server, "hanging") == 0, "it is still on its way"


def test_plain_http_will_do_for_what_is_signed(at: Timed) -> None:
    """Most CAs publish lists so; the list's own signature is what counts."""
    us = published(at, "plain")
    with responding(us.authority, at.now) as http:
        http.manner.body = crls.crl(us.authority, at.now, [us.serial])
        at.server.certbound("trust", "revocation", "plain", "crl", "--url", http.url)
        with live(at.server, "plain") as ask:
            eventually(lambda: reason(at.server, ask()) == "revoked")


def test_private_addresses_are_not_fetched_from(server: Running, at: Timed) -> None:
    """Without the setting that allows it, a URL on this machine gets no connection at all."""
    authority = placing.root("inward")
    server.certbound(
        "trust", "add", "inward", str(placing.authority_file(server, authority, "inward"))
    )
    url = at.web.url("/inward.crl")
    server.certbound("trust", "revocation", "inward", "crl", "--url", url)
    eventually(lambda: "/inward.crl" in server.log)
    assert "crl.fetch_failed" in server.log
    assert "/inward.crl" not in {each.path for each in at.web.seen}
