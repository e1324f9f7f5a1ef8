"""OCSP with a real responder: asked before the first token, and in nobody's way after it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509.ocsp import OCSPResponseStatus

from app import clock
from tests.kit import ledger, ocsp, placing
from tests.kit.ca import Authority
from tests.kit.crls import serial_of
from tests.kit.live import Ask, claims, live, reason, why
from tests.kit.ocsp import Manner, Responder
from tests.kit.running import Running, running
from tests.kit.timed import Timed, eventually, in_time, timed
from tests.kit.wire import Response

WAIT_LIMIT = 2.0
"""Seconds a login may wait for a responder."""
RETRY = 11
"""Seconds after which a certificate is asked about again."""


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    """A server with a clock to move."""
    with timed(tmp_path_factory.mktemp("timed")) as started:
        yield started


@dataclass
class Asked:
    """A client, its open connection, and the responder of its CA."""

    at: Timed
    authority: Authority
    responder: Responder
    ask: Ask
    serial: int

    def pass_time(self, seconds: int) -> None:
        """Move the server's clock and the responder's on."""
        self.at.pass_time(seconds)
        self.responder.now = self.at.now

    def forget(self, manner: Manner) -> str:
        """Let everything known run out; the reason, or nothing, when the responder answers so."""
        self.pass_time(3600)
        self.responder.manner = manner
        answer = self.ask()
        return "" if answer.status == 200 else reason(self.at.server, answer)


@contextmanager
def asked(at: Timed, name: str, *policy: str) -> Iterator[Asked]:
    """A client of a trust set of its own, whose certificates a responder is asked about."""
    authority, server = placing.root(f"CA of {name}"), at.server
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    der = placing.place(server, name, authority)
    server.certbound("client", "add", name, "--subject-dn", f"CN={name}", "--trust", name)
    with ocsp.responding(authority, at.now) as responder, live(server, name) as ask:
        words = ("ocsp", "--url", responder.url, *policy)
        server.certbound("trust", "revocation", name, *words)
        yield Asked(at, authority, responder, ask, serial_of(der))


def doubts(at: Timed, answer: Response) -> str:
    """What the audit says beside an issued token of what was not known about revocation."""
    jti = claims(answer)["jti"]
    [row] = [each for each in ledger.entries(at.server.home) if each.jti == jti]
    return str(json.loads(row.body).get("revocation", ""))


def test_good_then_revoked_then_good(at: Timed) -> None:
    """One question serves many tokens; a revocation is noticed when the answer is asked for anew."""
    with asked(at, "turning") as us:
        for _ in range(5):
            assert claims(us.ask())["sub"] == "turning"
        assert us.responder.asked == [us.serial]
        us.responder.manner = Manner(status="revoked")
        assert claims(us.ask())["sub"] == "turning", "the answer at hand is fresh"
        us.pass_time(301)
        eventually(lambda: us.ask().status == 401)
        assert reason(at.server, us.ask()) == "revoked"
        us.responder.manner = Manner()
        us.pass_time(301)
        eventually(lambda: us.ask().status == 200)


def test_what_is_no_good_answer_fails_hard(at: Timed) -> None:
    """Unknown, try later, expired, of a wrong signer, about another certificate: all refused."""
    stranger = placing.root("stranger of OCSP")
    manners = {
        "unknown": Manner(status="unknown"),
        "try later": Manner(refusal=OCSPResponseStatus.TRY_LATER),
        "unauthorized": Manner(refusal=OCSPResponseStatus.UNAUTHORIZED),
        "expired": Manner(age=7200, life=600),
        "wrong signer": Manner(signer=stranger),
        "wrong serial": Manner(serial=4711),
        "wrong nonce": Manner(nonce="wrong"),
        "no OCSP": Manner(body=b"<html>"),
        "status 500": Manner(http_status=500),
        "too long": Manner(padding=1_000_000),
    }
    with asked(at, "failing") as us:
        for name, manner in manners.items():
            assert us.forget(manner) == "revocation_unknown", name
            assert us.forget(Manner()) == "", name
        assert us.forget(Manner(status="revoked")) == "revoked"
        delegate = ocsp.delegate(us.authority, at.now - 86_400, "delegate of failing")
        by_delegate = Manner(signer=delegate, certificates=(delegate.certificate,))
        assert us.forget(by_delegate) == "", "a responder that the CA certified"


def test_soft_failure_lets_in_what_is_not_known(at: Timed) -> None:
    """But never what is known to be revoked; and the audit says beside the token what was not."""
    with asked(at, "soft", "--soft") as us:
        us.responder.manner = Manner(status="unknown")
        assert "fails soft" in doubts(at, us.ask())
        assert us.forget(Manner(refusal=OCSPResponseStatus.TRY_LATER)) == ""
        assert us.forget(Manner(status="unknown")) == ""
        assert us.forget(Manner(status="revoked")) == "revoked"
        assert us.forget(Manner(status="unknown")) == "revoked"
        us.forget(Manner())
        assert doubts(at, us.ask()) == ""


def test_a_hanging_responder(tmp_path: Path) -> None:
    """A login waits two seconds for it and is refused, and those of other clients go on meanwhile."""
    with (
        timed(tmp_path, patient=False) as at,
        asked(at, "waiting") as us,
        asked(at, "passing") as other,
    ):
        in_time(at, RETRY, lambda: other.ask().status == 200)
        assert claims(other.ask())["sub"] == "passing"
        us.responder.manner = Manner(hang=600)
        answers: list[Response] = []
        waiting = threading.Thread(target=lambda: answers.append(us.ask()))
        began, tokens = time.monotonic(), 0
        waiting.start()
        while not us.responder.asked:
            assert claims(other.ask())["sub"] == "passing"
        while waiting.is_alive():
            assert claims(other.ask())["sub"] == "passing"
            tokens += waiting.is_alive()
        assert time.monotonic() - began > WAIT_LIMIT - 0.5
        assert reason(at.server, answers[0]) == "revocation_unknown"
        assert tokens > 3


def test_a_fresh_answer_needs_no_responder(at: Timed) -> None:
    """Hanging or gone: no login waits, until the answer at hand runs out and the door is shut."""
    with asked(at, "fresh") as us:
        us.responder.manner = Manner(life=7200)
        assert claims(us.ask())["sub"] == "fresh"
        us.responder.manner = Manner(hang=600, body=b"too late")
        us.pass_time(3000)  # long due, and asked for beside the requests
        for _ in range(20):
            assert claims(us.ask())["sub"] == "fresh"
        eventually(lambda: len(us.responder.asked) == 2)  # and not answered yet
        us.responder.stop()
        us.pass_time(3000)
        assert claims(us.ask())["sub"] == "fresh"
        us.pass_time(3000)
        refused = us.ask()
        assert reason(at.server, refused) == "revocation_unknown"
        assert why(at.server, refused)


def test_an_answer_may_be_too_old_for_us(at: Timed) -> None:
    """A maximum staleness counts although the responder says that its answer is good for longer."""
    with asked(at, "strict", "--max-staleness", "10m") as us:
        assert us.forget(Manner(age=300, life=86_400)) == ""
        assert us.forget(Manner(age=900, life=86_400)) == "revocation_unknown"


def test_an_intermediate_is_asked_about_too(at: Timed) -> None:
    """Every certificate below the anchor; a CA that is revoked takes its certificates along."""
    top, server = placing.root("top of OCSP"), at.server
    between = placing.issuing(top, "issuing of OCSP")
    server.certbound("trust", "add", "tall", str(placing.authority_file(server, top, "tall")))
    der = placing.place(server, "tall", between, above=(between,))
    server.certbound("client", "add", "tall", "--subject-dn", "CN=tall", "--trust", "tall")
    leaf, ca = serial_of(der), serial_of(between.certificate)
    with ocsp.responding(top, at.now) as responder, live(server, "tall") as ask:
        server.certbound("trust", "revocation", "tall", "ocsp", "--url", responder.url)
        assert reason(server, ask()) == "revocation_unknown", "an answer for one of them alone"
        assert set(responder.asked) == {leaf, ca}
        responder.also = (between,)
        at.pass_time(11)
        assert claims(ask())["sub"] == "tall"
        responder.manner = Manner(revoked={ca})
        at.pass_time(3600)
        responder.now = at.now
        refused = ask()
        assert reason(server, refused) == "revoked"
        assert "issuing of OCSP" in why(server, refused)


def test_a_restart_forgets_no_revocation(tmp_path: Path) -> None:
    """Under soft failure: unknown, failing or silent, the responder lets nobody back in by that."""
    (home := tmp_path / "home").mkdir()
    authority = placing.root("CA of restarts")
    names = ("held", "unsaid", "silent")

    def verdict(server: Running, name: str, manner: Manner) -> str:
        responder.manner = manner
        with live(server, name) as ask:
            answer = ask()
        return "" if answer.status == 200 else reason(server, answer)

    revoked = Manner(status="revoked", age=100, life=10_000)
    unknown = Manner(status="unknown", life=10_000)
    with ocsp.responding(authority, clock.now()) as responder:
        with running(home, trust_allow_private="true") as server:
            file = placing.authority_file(server, authority, "restarts")
            server.certbound("trust", "add", "restarts", str(file))
            words = ("ocsp", "--url", responder.url, "--soft")
            server.certbound("trust", "revocation", "restarts", *words)
            for name in names:
                placing.place(server, name, authority)
                more = ("--subject-dn", f"CN={name}", "--trust", "restarts")
                server.certbound("client", "add", name, *more)
                assert verdict(server, name, revoked) == "revoked"
        with running(home, quickstart=False, trust_allow_private="true") as server:
            assert verdict(server, "held", unknown) == "revoked"
            assert verdict(server, "unsaid", Manner(http_status=503)) == "revoked"
            assert verdict(server, "silent", Manner(hang=20)) == "revoked"
        with running(home, quickstart=False, trust_allow_private="true") as server:
            assert verdict(server, "held", Manner(age=100, life=10_000)) == "revoked"
            assert verdict(server, "unsaid", Manner(life=10_000)) == "", "later, and good"
        with running(home, quickstart=False, trust_allow_private="true") as server:
            assert verdict(server, "unsaid", unknown) == "", "doubt is only doubt again"
            assert verdict(server, "silent", unknown) == "revoked"


def test_another_set_of_the_ca_knows_what_was_revoked(at: Timed) -> None:
    """A client moved to a soft set with the same CA stays stopped, whatever that responder says."""
    with asked(at, "moved", "--soft") as us:
        us.responder.manner = Manner(status="revoked")
        assert reason(at.server, us.ask()) == "revoked"
        file = str(placing.authority_file(at.server, us.authority, "moved-to"))
        at.server.certbound("trust", "add", "moved-to", file)
        words = ("ocsp", "--url", us.responder.url, "--soft")
        at.server.certbound("trust", "revocation", "moved-to", *words)
        us.responder.manner = Manner(status="unknown")
        at.server.certbound("client", "trust", "moved", "moved-to")
        assert reason(at.server, us.ask()) == "revoked"


def test_a_denied_responder_vouches_for_nobody(at: Timed) -> None:
    """From the moment its certificate is denied, what it called good is not known; undo restores it."""
    with asked(at, "vouched") as us:
        made = ocsp.delegate(us.authority, at.now, "responder of vouched")
        us.responder.manner = Manner(signer=made, certificates=(made.certificate,))
        assert us.ask().status == 200
        named = str(placing.pem(at.server.file("responder.pem"), made.certificate))
        at.server.certbound("revoke", "cert", named)
        assert reason(at.server, us.ask()) == "revocation_unknown"
        at.server.certbound("revoke", "undo", named)
        us.pass_time(RETRY)
        eventually(lambda: us.ask().status == 200)
