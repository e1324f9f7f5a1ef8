"""A server that cannot do its work says so in JSON, keeps serving what it can, and heals."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

import pytest

from app.endpoints import token as token_endpoint
from app.errors import ServerError, TemporarilyUnavailable
from app.store import engine
from app.store.engine import StoreUnavailable
from app.store.journal import JournalFull
from app.store.lookup import LookupsFull
from app.tokens.issue import Issuance
from tests.kit.asgi import Stage

WELL_KNOWN = "/.well-known/oauth-authorization-server"
SECRET = "correct horse battery staple"  # noqa: S105 - stands for whatever an exception may quote


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Another process holds the database's write lock."""
    with closing(sqlite3.connect(stage.settings.home / "certbound.db", timeout=0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_no_token_leaves_a_server_that_cannot_record_it(stage: Stage) -> None:
    """A locked database gives 503 with Retry-After while it is locked, and no token; then it heals."""
    with locked(stage):
        answer = stage.token(stage.bot)
    assert answer.status == 503
    assert answer.header("retry-after") == "2"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert answer.json() == {
        "error": "temporarily_unavailable",
        "error_description": TemporarilyUnavailable.description,
    }
    assert stage.token(stage.bot).status == 200


def test_what_needs_no_database_is_served_without_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata, keys and liveness do not wait for a database that is away."""
    before = [stage.ask("GET", path) for path in (WELL_KNOWN, "/jwks", "/livez")]
    monkeypatch.setattr(engine.Database, "begin", _away)
    monkeypatch.setattr(engine.Database, "read", _away)
    after = [stage.ask("GET", path) for path in (WELL_KNOWN, "/jwks", "/livez")]
    assert before == after
    assert {answer.status for answer in after} == {200}


def test_a_refusal_too_waits_for_its_record(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, a bad request is 503 as well: no answer without its entry."""
    with monkeypatch.context() as patched:
        patched.setattr(engine.Database, "begin", _away)
        assert stage.token(None).status == 503
        assert stage.token(stage.bot, client_id="").status == 503
    assert stage.token(None).status == 401


def test_no_answer_about_a_token_without_the_database(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is answered from memory: 503 while the records cannot be read, then right again."""
    token = stage.token(stage.bot).json()["access_token"]
    assert stage.introspect(token).json()["active"] is True
    stage.let_see("bot", stage.settings.default_resource)
    with monkeypatch.context() as patched:
        patched.setattr(engine.Database, "read", _away)
        for text in (token, "nonsense"):
            for answer in (stage.introspect(text), stage.revoke(text)):
                assert (answer.status, answer.header("retry-after")) == (503, "2")
    with monkeypatch.context() as patched:
        patched.setattr(engine.Database, "begin", _away)
        assert stage.introspect(token).json()["active"] is True
        assert stage.introspect(token, certificate_thumbprint="none").status == 503
        assert stage.revoke(token).status == 503
    assert stage.introspect(token).json()["active"] is True


def test_too_many_who_wait_are_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """More questions than the look-ups hold: 503, like a database that is away."""

    async def full(*_: object) -> NoReturn:
        raise LookupsFull

    monkeypatch.setattr(stage.house.door.lookups, "find", full)
    assert stage.introspect("x").status == 503


def test_it_heals_by_itself(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request after the database is back gets its token; nothing is restarted."""
    with monkeypatch.context() as patched:
        patched.setattr(engine.Database, "begin", _away)
        assert [stage.token(stage.bot).status for _ in range(3)] == [503] * 3
    assert stage.token(stage.bot).status == 200
    assert [entry["event"] for entry in stage.entries(100)].count("token.issued") == 1


def test_a_full_journal_is_no_catastrophe(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """More waiting decisions than the journal holds: 503, like a database that is away."""

    async def full(*_: object) -> NoReturn:
        raise JournalFull

    monkeypatch.setattr(stage.house.door.journal, "settle", full)
    assert stage.token(stage.bot).status == 503


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("app.endpoints.token.prepare", "POST", "/token"),
        ("app.endpoints.asking.authenticate", "POST", "/token"),
        ("app.endpoints.token.complete", "POST", "/token"),
        ("app.endpoints.asking.form.read", "POST", "/token"),
        ("app.endpoints.refusal.check.describe", "POST", "/token"),
        ("app.endpoints.introspect.active", "POST", "/introspect"),
        ("app.endpoints.introspect.prefers", "POST", "/introspect"),
        ("app.endpoints.introspect.present", "POST", "/introspect"),
        ("app.endpoints.introspect.observed_in", "POST", "/introspect"),
        ("app.endpoints.consult.Judge", "POST", "/introspect"),
        ("app.tokens.genuine.jwt.verify_issued", "POST", "/revoke"),
        ("app.endpoints.revoke.revocation_of", "POST", "/revoke"),
        ("app.endpoints.metadata.document", "GET", WELL_KNOWN),
        ("app.endpoints.jwks.headers.first", "GET", "/jwks"),
        ("app.endpoints.health.json_response", "GET", "/livez"),
    ],
)
def test_a_mistake_of_ours_is_a_plain_500(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str, method: str, path: str
) -> None:
    """Whatever breaks, the client gets one constant text and a reference, and nothing of the cause."""
    good = stage.token(stage.bot).json()["access_token"]
    monkeypatch.setattr(name, _broken)
    if path in {"/introspect", "/revoke"}:
        stage.let_see("bot", stage.settings.default_resource)
        told = {"certificate_thumbprint": "none"} if "present" in name else {}
        fields = {"client_id": "bot", "token": good, **told}
        answer = stage.post(path, fields, peer=stage.bot)
    elif method == "POST":
        peer = stage.peer("server") if "describe" in name else stage.bot
        answer = stage.token(peer)
    else:
        answer = stage.ask(method, path)
    assert answer.status == 500
    assert answer.header("cache-control") == "no-store"
    members = answer.json()
    entry = stage.explained(members.pop("error_ref"))
    assert members == {"error": "server_error", "error_description": ServerError.description}
    assert (entry["error"], entry["status"]) == ("server_error", 500)
    assert SECRET not in str(entry)


def test_even_a_broken_journal_gets_an_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the entry of a mistake cannot be written either, the log has the reference."""
    monkeypatch.setattr(stage.house.door.journal, "settle", _broken)
    answer = stage.token(stage.bot)
    assert answer.status == 500
    assert answer.json()["error_ref"] in capsys.readouterr().out


def test_a_token_that_was_not_signed_is_recorded_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record first, signature second: a failure in between leaves a row too many, never too few."""
    seen: list[Issuance] = []

    def fails(issuance: Issuance) -> NoReturn:
        seen.append(issuance)
        raise RuntimeError(SECRET)

    monkeypatch.setattr(token_endpoint, "complete", fails)
    assert stage.token(stage.bot).status == 500
    issued, failed = stage.entries(2)
    assert issued["jti"] == seen[0].claims["jti"]
    assert failed["error"] == "server_error"


def test_a_newer_registry_decides_again(stage: Stage) -> None:
    """What an operator did a moment ago counts at once, though this process has not looked yet."""
    peer = stage.add_client("new")
    answer = stage.token(peer, client_id="new")
    assert answer.status == 200


def _away(*_: object) -> NoReturn:
    raise StoreUnavailable("the database is away")


def _broken(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(SECRET)
