"""What a granted token leaves behind: one record, one audit entry, and nothing secret."""

from collections.abc import Callable
from contextlib import closing
from sqlite3 import connect

import pytest

from app.admin import clients, resources
from app.grants import GRANTS, GrantType, client_credentials
from app.jose import jwt
from app.store import tokens
from tests.kit.asgi import FORM, Stage


def test_the_record_and_the_entry_say_what_the_token_says(stage: Stage) -> None:
    """The row and the audit entry of a token agree with its claims, member by member."""
    answer = stage.token(stage.bot)
    claims = stage.claims(answer)
    header, _ = jwt.unverified(answer.json()["access_token"])
    with stage.house.database.read() as conn:
        row = tokens.find(conn, claims["jti"])
    assert row == tokens.TokenRow(
        jti=claims["jti"],
        client_id="bot",
        subject="bot",
        resource=claims["aud"],
        scope=claims["scope"],
        thumbprint=claims["cnf"]["x5t#S256"],
        kid=header["kid"],
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        status_list=claims["status"]["status_list"]["uri"].rpartition("/")[2],
        status_index=claims["status"]["status_list"]["idx"],
    )
    (entry,) = stage.entries()
    certificate = entry.pop("certificate")
    assert entry == {
        "schema": 1,
        "event": "token.issued",
        "decision": "issued",
        "client_id": "bot",
        "jti": claims["jti"],
        "resource": claims["aud"],
        "grant_type": "client_credentials",
        "method": "tls_client_auth",
        "mechanisms": ["client_authentication", "token_binding"],
        "confirmation": "x5t#S256",
        "token_type": "Bearer",
        "subject": "bot",
        "scope": "api:read",
        "issued_at": claims["iat"],
        "expires_at": claims["exp"],
        "kid": header["kid"],
    }
    assert certificate["thumbprint"] == stage.bot.thumbprint
    assert certificate["subject"] == "CN=bot"
    assert certificate["trust_set"] == "default"
    assert (certificate["tls_version"], certificate["termination"]) == ("TLSv1.3", "direct")


def test_a_registered_certificate_has_no_trust_set(stage: Stage) -> None:
    """The audit does not claim that a CA vouched where none was asked."""
    peer = stage.add_self_signed("solo")
    assert stage.token(peer, client_id="solo").status == 200
    (entry,) = stage.entries()
    assert "trust_set" not in entry["certificate"]
    assert entry["method"] == "self_signed_tls_client_auth"


def test_no_token_is_stored_or_logged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the token nor its signature is anywhere on disk or in the log."""
    token = stage.token(stage.bot).json()["access_token"]
    signature = token.rpartition(".")[2]
    with closing(connect(stage.settings.home / "certbound.db")) as conn:
        dump = "\n".join(conn.iterdump())
    assert jwt.unverified(token)[1]["jti"] in dump
    for text in (dump, *capsys.readouterr()):
        assert signature not in text
        assert token not in text
    for path in stage.settings.home.glob("certbound.db*"):
        assert signature.encode() not in path.read_bytes()


def test_nothing_a_stranger_sent_is_logged(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Secrets and assertions sent by mistake reach neither the log nor the audit."""
    canary = "c4nary-0f-a-s3cret"
    for name in ("client_secret", "client_assertion", "x", "scope", "resource", "code"):
        stage.token(stage.bot, **{name: canary})
    stage.ask(
        "POST",
        "/token",
        peer=stage.bot,
        headers=[FORM, ("authorization", f"Basic {canary}")],
        body=b"grant_type=client_credentials&client_id=bot",
    )
    seen = [e for e in stage.entries(50) if canary in str(e)]
    # what scope and which resource were refused is what an operator needs to know
    assert {e["error"] for e in seen} == {"invalid_scope", "invalid_target"}
    assert canary not in "".join(capsys.readouterr())


def test_the_lifetime_is_a_setting(opened: Callable[..., Stage]) -> None:
    """Seconds, as configured; the answer and the token say the same."""
    stage = opened(access_token_lifetime=42)
    answer = stage.token(stage.bot)
    claims = stage.claims(answer)
    assert answer.json()["expires_in"] == claims["exp"] - claims["iat"] == 42


def test_a_grant_says_which_parameters_repeat(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one grant lets stand twice is refused at another: a grant added later starts strict."""
    monkeypatch.setitem(GRANTS, "urn:strict", GrantType(client_credentials.grant, frozenset()))
    peer = stage.add_client("strict", grants=("urn:strict",))
    url = stage.settings.default_resource
    fields = [("grant_type", "urn:strict"), ("client_id", "strict"), ("resource", url)]
    assert stage.post("/token", fields, peer=peer).status == 200
    answer = stage.post("/token", [*fields, ("resource", url)], peer=peer)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_disabled_client_gets_nothing_more(stage: Stage) -> None:
    """After the command has returned no token leaves, though nobody told this process."""
    assert stage.token(stage.bot).status == 200
    clients.disable(stage.desk, "bot")
    assert stage.token(stage.bot).status == 401
    clients.enable(stage.desk, "bot")
    assert stage.token(stage.bot).status == 200


def test_each_request_is_decided_anew(stage: Stage) -> None:
    """What an operator changed a moment ago counts for the very next request."""
    default = stage.settings.default_resource
    assert stage.token(stage.bot).json()["scope"] == "api:read"
    stage.add_resource(default, "other:scope")
    assert "scope" not in stage.token(stage.bot).json()
    resources.remove(stage.desk, default)
    assert stage.token(stage.bot).json()["error"] == "invalid_target"
    clients.remove(stage.desk, "bot")
    assert stage.token(stage.bot).json()["error"] == "invalid_client"
