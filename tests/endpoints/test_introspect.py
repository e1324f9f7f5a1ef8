"""Introspection at the endpoint: what is written down, what is not, and what is fetched anew."""

import base64
from collections.abc import Iterator

import pytest

from app import clock
from app.admin import clients
from app.admin.authority import Request
from app.jose import jwt
from app.rates import BURST
from app.store import denied, registry, tokens
from app.tls.peer import PeerCertificate
from tests.kit.asgi import FORM, Stage
from tests.kit.forged import Forger, forgeries

INACTIVE = {"active": False}


def issued(stage: Stage, peer: PeerCertificate | None = None, client_id: str = "bot") -> str:
    """A token."""
    answer = stage.token(peer or stage.bot, client_id=client_id)
    assert answer.status == 200, answer.body
    token: str = answer.json()["access_token"]
    return token


def audited(stage: Stage) -> int:
    """How many entries the audit has."""
    return len(stage.entries(100_000))


@pytest.fixture
def api(stage: Stage) -> PeerCertificate:
    """The certificate of ``api``, which serves the default resource and gets no tokens."""
    peer = stage.add_client("api", grants=())
    stage.let_see("api", stage.settings.default_resource)
    return peer


def test_a_question_is_not_written_down(stage: Stage, api: PeerCertificate) -> None:
    """Nor an answer without a verdict; a caller that is refused is."""
    token = issued(stage)
    before = audited(stage)
    assert stage.introspect(token).json()["active"] is True
    assert stage.introspect(token, api, client_id="api").json()["active"] is True
    for text in ("nonsense", token + "x"):
        assert stage.introspect(text, certificate_thumbprint="none").json() == INACTIVE
    assert audited(stage) == before
    assert stage.introspect(token, api).status == 401
    assert audited(stage) == before + 1


def test_each_verdict_is_written_down_before_it_is_given(
    stage: Stage, api: PeerCertificate
) -> None:
    """Who said it saw which certificate, whose token it was, and what it was told."""
    token = issued(stage)
    claims = jwt.unverified(token)[1]
    other = stage.peer("server")
    for sent, verdict, reason in (
        ({"certificate_thumbprint": stage.bot.thumbprint}, "holder", None),
        ({"certificate": base64.b64encode(stage.bot.der).decode()}, "holder", None),
        ({"certificate_thumbprint": other.thumbprint}, "other_certificate", "binding_mismatch"),
        ({"certificate_thumbprint": "none"}, "no_certificate", "no_certificate"),
    ):
        answer = stage.introspect(token, api, client_id="api", **sent).json()
        assert (answer["certificate_verdict"], answer["active"]) == (verdict, reason is None)
        assert (answer == INACTIVE | {"certificate_verdict": verdict}) is (reason is not None)
        (entry,) = stage.entries()
        certificate = entry.pop("certificate", None)
        assert entry.pop("reason", None) == reason
        assert (entry.pop("ref", None) is None) is (reason is None)
        assert entry == {
            "schema": 1,
            "event": "token.presented",
            "decision": "refused" if reason else "accepted",
            "client_id": "bot",
            "jti": claims["jti"],
            "resource": claims["aud"],
            "reporter": "api",
            "verdict": verdict,
            "confirmation": "x5t#S256",
            "bound_to": stage.bot.thumbprint,
        }
        if "certificate" in sent:
            assert certificate["subject"] == "CN=bot"
        if verdict == "no_certificate":
            assert certificate is None
        else:
            assert certificate["termination"] == "reported"


@pytest.mark.parametrize("spelling", ["base64", "without padding", "base64url", "padded base64url"])
def test_a_certificate_in_every_spelling(stage: Stage, api: PeerCertificate, spelling: str) -> None:
    """Standard base64 or base64url, with padding or without, on one line."""
    der = stage.bot.der
    text = (base64.urlsafe_b64encode if "url" in spelling else base64.b64encode)(der).decode()
    text = text if spelling in {"base64", "padded base64url"} else text.rstrip("=")
    answer = stage.introspect(issued(stage), api, client_id="api", certificate=text).json()
    assert answer["certificate_verdict"] == "holder"


def test_a_client_tells_nothing_of_its_own_token(stage: Stage) -> None:
    """Where it does not serve the resource: no verdict, and no certificate of others in the audit."""
    token, other = issued(stage), stage.issue("victim", Request(dn="CN=victim"))
    before = audited(stage)
    for told in (
        {"certificate": base64.b64encode(other.der).decode()},
        {"certificate_thumbprint": stage.bot.thumbprint},
        {"certificate_thumbprint": "none"},
    ):
        assert stage.introspect(token, stage.bot, **told).json() == INACTIVE
    assert audited(stage) == before
    assert stage.introspect(token).json()["active"] is True


def test_an_inactive_token_has_no_verdict(
    stage: Stage, api: PeerCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody's business any more, nor for a caller that may not look: of that the log alone tells."""
    token = issued(stage)
    stranger = stage.add_client("stranger")
    told = {"certificate_thumbprint": stage.bot.thumbprint}
    before = audited(stage)
    assert stage.introspect(token, stranger, client_id="stranger", **told).json() == INACTIVE
    assert audited(stage) == before
    assert "introspection.not_served" in capsys.readouterr().out
    assert stage.introspect(token, api, client_id="api").json()["active"] is True
    assert "introspection.not_served" not in capsys.readouterr().out
    assert stage.revoke(token).status == 200
    assert stage.introspect(token, api, client_id="api", **told).json() == INACTIVE
    assert audited(stage) == before + 1


def test_who_may_not_look_fills_no_log(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """However often it asks: some lines a second for a client, and the same answer each time."""
    token = issued(stage)
    stranger = stage.add_client("stranger")
    moment = [0.0]
    stage.house.door.limits.hints._monotonic = lambda: moment[0]
    capsys.readouterr()
    for _ in range(20):
        assert stage.introspect(token, stranger, client_id="stranger").json() == INACTIVE
    assert capsys.readouterr().out.count("introspection.not_served") == BURST
    moment[0] = 60
    assert stage.introspect(token, stranger, client_id="stranger").json() == INACTIVE
    assert "introspection.not_served" in capsys.readouterr().out


def test_what_an_operator_changed_counts_at_once(stage: Stage, api: PeerCertificate) -> None:
    """Client disabled, certificate denied, sight given and taken: though nobody told this process."""
    token = issued(stage)

    def seen() -> bool:
        answer = stage.introspect(token, api, client_id="api")
        assert answer.status == 200
        return bool(answer.json()["active"])

    assert seen()
    clients.disable(stage.desk, "bot")
    assert not seen()
    with registry.change(stage.desk.db) as conn:  # its tokens were revoked; this one comes back
        conn.exec_driver_sql("UPDATE tokens SET revoked_at = NULL")
    assert not seen()
    clients.enable(stage.desk, "bot")
    assert seen()
    stage.let_see("api")
    assert not seen()
    stage.let_see("api", everything=True)
    assert seen()
    with registry.change(stage.desk.db) as conn:
        peer, now = stage.bot, clock.now()
        denied.deny(conn, "thumbprint", peer.thumbprint, reason="", actor="tester", at=now)
    assert not seen()
    with registry.change(stage.desk.db) as conn:
        denied.allow(conn, "thumbprint", stage.bot.thumbprint)
    assert seen()
    with stage.desk.db.begin() as conn:
        tokens.revoke(conn, [jwt.unverified(token)[1]["jti"]], clock.now())
    assert not seen()


def test_a_caller_registered_a_moment_ago_is_known(stage: Stage) -> None:
    """And one disabled a moment ago is not: refusals too are as of the registry in force."""
    token = issued(stage)
    peer = stage.add_client("late")
    assert stage.introspect(token, peer, client_id="late").json() == INACTIVE
    clients.disable(stage.desk, "late")
    assert stage.introspect(token, peer, client_id="late").status == 401
    clients.enable(stage.desk, "late")
    assert stage.introspect(token, peer, client_id="late").status == 200


def test_a_verdict_is_of_the_registry_in_force(
    stage: Stage, api: PeerCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between look-up and record wins: no verdict on a token that is good no more."""
    token = issued(stage)
    told = {"client_id": "api", "certificate_thumbprint": stage.bot.thumbprint}
    journal = stage.house.door.journal
    plain = journal.settle

    async def after(decide: object) -> object:
        clients.disable(stage.desk, "bot")
        return await plain(decide)  # type: ignore[arg-type] # -- handed on as it came

    stage.introspect(issued(stage), api, **told)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "settle", after)
        assert stage.introspect(token, api, **told).json() == INACTIVE
    assert "client.disabled" in [entry["event"] for entry in stage.entries(2)]
    assert stage.entries()[0]["event"] != "token.presented"
    clients.enable(stage.desk, "bot")
    stage.let_see("api", stage.settings.default_resource)

    async def unseen(decide: object) -> object:
        stage.let_see("api")
        return await plain(decide)  # type: ignore[arg-type] # -- handed on as it came

    fresh = issued(stage)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "settle", unseen)
        assert stage.introspect(fresh, api, **told).json() == INACTIVE
    assert stage.entries()[0]["event"] == "token.issued"


@pytest.fixture(scope="module")
def bad(standing: Stage) -> Iterator[dict[str, str]]:
    """Everything that is no token, made from one that is."""
    keys = standing.house.door.snapshots.current.keys
    token = issued(standing)
    yield forgeries(token, keys.jwks) | Forger(keys.current).odd(token)
    assert standing.introspect(token).json()["active"] is True


def test_bad_tokens_are_inactive_and_leave_nothing(standing: Stage, bad: dict[str, str]) -> None:
    """Malformed, oversized, foreign, expired, forged in every way: one answer, never a 500."""
    before = len(standing.house.door.own_tokens)
    entries = audited(standing)
    for name, text in bad.items():
        answer = standing.introspect(text)
        assert (name, answer.status, answer.body) == (name, 200, b'{"active":false}')
        revoked = standing.revoke(text)
        assert (name, revoked.status, revoked.body) in {
            (name, 200, b""),
            (name, 400, revoked.body),  # another client's, as far as our own key can tell
        }
        assert (name == "another client") is (revoked.status == 400)
    assert audited(standing) == entries + 1
    # Those our own key signed are genuine, and remembered; that they disagree with the record is
    # judged each time.
    assert len(standing.house.door.own_tokens) - before <= 8


def test_five_megabytes_are_not_read(standing: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form has a size, met before anything in it is decoded."""

    def decoded(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("app.web.form.parse", decoded)
    pieces = [b"client_id=bot&token=", *[b"A" * 65_536] * 80]
    for path in ("/introspect", "/revoke"):
        answer = standing.ask("POST", path, peer=standing.bot, headers=[FORM], body=pieces)
        assert answer.status == 413


def test_parts_of_a_token_are_measured_before_they_are_parsed(
    standing: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token over the cap reaches neither base64 nor JSON."""

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    token = issued(standing)
    first, second, third = token.split(".")
    monkeypatch.setattr("app.jose.jwt.parse_object", parsed)
    monkeypatch.setattr("app.jose.jwt.base64url.decode", parsed)
    for text in (f"{'A' * 20_000}.{second}.{third}", f"{first}.{'A' * 20_000}.{third}"):
        assert standing.introspect(text).json() == INACTIVE


def test_nothing_of_a_token_is_stored_or_logged(
    stage: Stage, api: PeerCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where it was good nor where it was refused."""
    token = issued(stage)
    signature = token.rpartition(".")[2]
    stage.introspect(token, api, client_id="api", certificate_thumbprint="none")
    stage.introspect(token, None, client_id="nobody")
    stage.revoke(token, api, client_id="api")
    stage.revoke(token)
    assert signature not in str(stage.entries(100))
    assert signature not in "".join(capsys.readouterr())
    for path in stage.settings.home.glob("certbound.db*"):
        assert signature.encode() not in path.read_bytes()
