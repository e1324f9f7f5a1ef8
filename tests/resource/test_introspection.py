"""Introspection: what a server may answer, over real HTTPS; the real server is in tests/flows."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from app import clock
from app.jose.jwt import unverified
from app.resource import Verdict
from app.resource.answers import AT_ONCE, KEPT, WAITING, Answers
from app.resource.answers import Answer as Answered
from app.resource.certificate import UNKNOWN
from app.resource.introspection import Introspection
from app.resource.kept import OutOfReach, Wanting, patiently
from app.resource.testing import Authority, Issuer
from tests.kit.https import Answer, HttpsServer, serving
from tests.resource.desk import SCOPE, Desk

WELL_KNOWN = "/.well-known/oauth-authorization-server"
CA = Authority()
ME = CA.issue("api")


class Asked:
    """A server that answers as told, and a desk whose verifier asks it."""

    def __init__(self, server: HttpsServer, folder: Path, **options: Any) -> None:
        self.server = server
        (folder / "me.crt").write_bytes(ME.pem)
        (folder / "me.key").write_bytes(ME.key_pem)
        issuer = server.url("")
        members = {"issuer": issuer, "introspection_endpoint": server.url("/introspect")}
        server.answers[WELL_KNOWN] = Answer(json.dumps(members).encode())
        self.desk = Desk()
        self.asking = Introspection(
            issuer,
            "https://api.test",
            client_id="api",
            certificate=folder / "me.crt",
            key=folder / "me.key",
            ca_file=server.ca_file,
            now=self.desk.now,
            **{"opaque": True, **options},
        )
        self.desk = Desk({"tokens": self.asking}, now=self.desk.now)
        self.says()

    def says(self, **members: Any) -> None:
        """An active token of ``bot``, with changes; None takes a member away."""
        answer = {
            "active": True,
            "iss": self.server.url(""),
            "aud": "https://api.test",
            "client_id": "bot",
            "sub": "bot",
            "scope": SCOPE,
            "exp": clock.now() + 300,
            "cnf": {"x5t#S256": self.desk.bot.thumbprint},
            **members,
        }
        self.answers({k: v for k, v in answer.items() if v is not None})

    def answers(self, members: object, **more: Any) -> None:
        """Any answer."""
        self.server.answers["/introspect"] = Answer(json.dumps(members).encode(), **more)

    @property
    def questions(self) -> list[dict[str, list[str]]]:
        """The forms posted so far."""
        return [
            parse_qs(seen.body.decode()) for seen in self.server.seen if seen.path == "/introspect"
        ]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """One per test."""
    with serving(tmp_path) as server:
        made = Asked(server, tmp_path)
        yield made
        made.asking.close()


def test_an_answer_is_kept_but_not_its_verdict(asked: Asked) -> None:
    """One question per token and certificate; the binding is compared each time."""
    desk = asked.desk
    for _ in range(5):
        assert desk.ask("opaque").status == 200
        assert desk.ask("opaque", desk.thief).status == 401
        assert desk.ask_bare("opaque").status == 401
    verdicts = [Verdict.HOLDER, Verdict.OTHER_CERTIFICATE, Verdict.NO_CERTIFICATE]
    assert [each.verdict for each in desk.decisions] == 5 * verdicts
    assert asked.questions == [
        {"client_id": ["api"], "token": ["opaque"], "certificate_thumbprint": [seen]}
        for seen in (desk.bot.thumbprint, desk.thief.thumbprint, "none")
    ]
    desk.now.ahead = 30
    asked.answers({"active": False})
    assert desk.ask("opaque").status == 401
    assert len(asked.questions) == 4


def test_the_certificate_need_not_be_reported(tmp_path: Path) -> None:
    """For other authorization servers: then one question per token serves holder and thief alike."""
    with serving(tmp_path) as server:
        asked = Asked(server, tmp_path, report=False)
        assert asked.desk.ask("opaque").status == 200
        assert asked.desk.ask("opaque", asked.desk.thief).status == 401
        assert asked.questions == [{"client_id": ["api"], "token": ["opaque"]}]
        asked.asking.close()


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({"cnf": None}, Verdict.UNBOUND),
        ({"cnf": {}}, Verdict.INVALID),
        ({"cnf": {"jkt": "x"}}, Verdict.INVALID),
        ({"cnf": "x"}, Verdict.INVALID),
        ({"active": "true"}, Verdict.INVALID),
        ({"active": 1}, Verdict.INVALID),
        ({"active": None}, Verdict.INVALID),
        ({"aud": None}, Verdict.INVALID),
        ({"aud": ["https://api.test"]}, Verdict.INVALID),
        ({"aud": "https://other.test"}, Verdict.INVALID),
        ({"iss": "https://other.test"}, Verdict.INVALID),
        ({"exp": None}, Verdict.INVALID),
        ({"exp": "soon"}, Verdict.INVALID),
        ({"exp": 1_000_000_000}, Verdict.INVALID),
        ({"nbf": 4_000_000_000}, Verdict.INVALID),
        ({"client_id": None}, Verdict.INVALID),
        ({"scope": [SCOPE]}, Verdict.INVALID),
        ({"active": False, "certificate_verdict": "other_certificate"}, Verdict.OTHER_CERTIFICATE),
        ({"active": False, "certificate_verdict": "no_certificate"}, Verdict.NO_CERTIFICATE),
        ({"active": False, "certificate_verdict": ["holder"]}, Verdict.INVALID),
    ],
)
def test_an_answer_that_lacks_something_refuses(
    asked: Asked, members: dict[str, Any], verdict: Verdict
) -> None:
    """A claim that was dropped on the way must not turn a bound token into a bearer token."""
    asked.says(**members)
    assert asked.desk.ask("opaque").status == 401
    assert asked.desk.last.verdict is verdict


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b'{"error":"invalid_client"}', status=401),
        Answer(b"", status=500),
        Answer(b'{"active":true}', status=302, headers={"Location": "https://localhost/x"}),
        Answer(b"<html>"),
        Answer(b"[]"),
        Answer(b'{"active":true,"active":false}'),
        Answer(b"x" * 70_000),
        Answer(b"{}", stated_length=50),
    ],
)
def test_no_answer_is_no_verdict(asked: Asked, answer: Answer) -> None:
    """503, and after a moment it heals."""
    asked.server.answers["/introspect"] = answer
    assert asked.desk.ask("opaque").status == 503
    assert asked.desk.last.verdict is Verdict.UNAVAILABLE
    asked.says()
    asked.desk.now.ahead = 3
    assert asked.desk.ask("opaque").status == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b'{"error":"invalid_client","error_ref":"ct25v6aqrx2hjn3n"}',
            "401 invalid_client: certbound explain ct25v6aqrx2hjn3n'",
        ),
        (b'{"error":"x\\n2026","error_ref":"; rm -rf"}', "401'"),
        (b"<html>", "401'"),
    ],
)
def test_the_log_says_why_the_server_refused_to_answer(
    asked: Asked, caplog: pytest.LogCaptureFixture, body: bytes, told: str
) -> None:
    """The server's error and its reference, where they look like some; nothing else of its answer."""
    asked.server.answers["/introspect"] = Answer(body, status=401)
    assert asked.desk.ask("opaque").status == 503
    message = caplog.records[-1].getMessage()
    assert message == (f"no token can be judged for the moment: 'introspection was refused, {told}")


@pytest.mark.parametrize("token", ["", "x" * 20_000, "a\u00e9", "a\x01b"])
def test_what_cannot_be_a_token_is_not_asked_about(asked: Asked, token: str) -> None:
    """Too long, or not of the characters tokens have."""
    assert asked.desk.ask(token).status == 401
    assert not asked.questions


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.test"},
        {"iss": None},
        {"aud": "https://other.test"},
        {"aud": ["https://api.test"]},
        {"exp": 1_000_000_000},
        {"exp": None},
        None,
    ],
)
def test_only_tokens_that_may_be_meant_are_asked_about(
    tmp_path: Path, claims: dict[str, Any] | None
) -> None:
    """What does not even say to be this issuer's for this audience costs the server nothing."""
    with serving(tmp_path) as server:
        asked = Asked(server, tmp_path, opaque=False)
        issuer = Issuer(server.url(""))
        good = issuer.token(asked.desk.bot)
        other = issuer.token(asked.desk.bot, **claims) if claims else _typed(issuer, good)
        for token in (other, "opaque", "a.b.c"):
            assert asked.desk.ask(token).status == 401
        assert not asked.questions
        assert asked.desk.ask(good).status == 200
        asked.asking.close()


def _typed(issuer: Issuer, token: str) -> str:
    """The same claims under another type."""
    return issuer.signer.typed("logout+jwt").sign(unverified(token)[1])


def _asked(answers: Answers, name: str, ask: Callable[[], Answered]) -> Wanting:
    """The question, under way or waiting."""
    with pytest.raises(Wanting) as wanting:
        answers.asked((name.encode(), None), ask)
    return wanting.value


def test_strangers_do_not_keep_a_known_holder_waiting() -> None:
    """As many invented tokens as may wait: one more gets none, and who was accepted has threads."""
    now, server_answers = [1000], threading.Event()
    answers = Answers(lambda: now[0])

    def active() -> Answered:
        return Answered({"active": True}, now[0] + 10)

    def slowly() -> Answered:
        assert server_answers.wait(20)
        return Answered({"active": False}, now[0] + 10)

    _asked(answers, "good", active).wait()
    now[0] += 10
    waiting = [_asked(answers, f"invented-{n}", slowly) for n in range(AT_ONCE + WAITING)]
    with pytest.raises(OutOfReach, match="too many"):
        answers.asked((b"one more", None), slowly)
    assert answers.known((b"good", None)) is None
    _asked(answers, "good", active).wait()
    assert answers.known((b"good", None)) == Answered({"active": True}, 1020)
    server_answers.set()
    for each in waiting:
        each.wait()
    _asked(answers, "one more", active).wait()
    answers.close()


def test_invented_tokens_push_out_no_answer_that_counts() -> None:
    """However many of them: those that were accepted are remembered apart."""
    answers = Answers(lambda: 1000)

    def learn(name: str, *, active: bool) -> None:
        _asked(answers, name, lambda: Answered({"active": active}, 2000)).wait()

    learn("good", active=True)
    for number in range(KEPT + 1):
        learn(f"invented-{number}", active=False)
    found = answers.known((b"good", None))
    assert found is not None
    assert found.active
    assert answers.known((b"invented-0", None)) is None
    assert answers.known((b"invented-1", None)) is not None
    answers.close()


def test_an_answer_that_drips_is_none(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends an octet now and then holds nobody for long: the whole has a time."""
    monkeypatch.setattr("app.resource.introspection.TIME_LIMIT", 0.5)
    body = b" " * 20 + asked.server.answers["/introspect"].body
    asked.server.answers["/introspect"] = Answer(body, drip=0.1)
    monkeypatch.setattr("app.resource.kept.WAIT_LIMIT", 30)
    with pytest.raises(OutOfReach, match="too slowly"):
        patiently(lambda: asked.asking.claims(b"opaque", UNKNOWN))


@pytest.mark.parametrize("leeway", [-1, 301])
def test_clocks_may_differ_by_minutes_only(tmp_path: Path, leeway: int) -> None:
    """As for signatures: longer, and a token that was revoked may be forgotten before it ends."""
    with pytest.raises(ValueError, match="from 0 to 300"):
        Introspection(
            "https://a", "b", client_id="c", certificate=tmp_path, key=tmp_path, leeway=leeway
        )


def test_a_renewed_certificate_is_used(asked: Asked, tmp_path: Path) -> None:
    """The resource's own certificate may be exchanged under a running API, also for a broken one."""
    assert asked.desk.ask("one").status == 200
    (tmp_path / "me.crt").write_bytes(b"broken")
    assert asked.desk.ask("two").status == 503
    renewed = CA.issue("api")
    (tmp_path / "me.crt").write_bytes(renewed.pem)
    (tmp_path / "me.key").write_bytes(renewed.key_pem)
    assert asked.desk.ask("three").status == 200


@pytest.mark.parametrize("keep_for", [0, 31, -1])
def test_answers_are_not_kept_for_long(tmp_path: Path, keep_for: int) -> None:
    """Thirty seconds are the most that a revocation may go unnoticed."""
    with pytest.raises(ValueError, match="from 1 to 30"):
        Introspection(
            "https://a", "b", client_id="c", certificate=tmp_path, key=tmp_path, keep_for=keep_for
        )
