"""Revocation at the endpoint: what is recorded, once, and for whom."""

from app import clock
from app.admin import clients
from app.jose import jwt
from app.store import registry, tokens
from tests.kit.asgi import Stage


def issued(stage: Stage) -> tuple[str, str]:
    """A token of ``bot`` and its jti."""
    token = stage.token(stage.bot).json()["access_token"]
    return token, jwt.unverified(token)[1]["jti"]


def revoked_at(stage: Stage, jti: str) -> int | None:
    """As the record has it."""
    with stage.house.database.read() as conn:
        row = tokens.find(conn, jti)
    assert row is not None
    return row.revoked_at


def test_a_token_is_revoked_with_its_entry(stage: Stage) -> None:
    """The record says since when, the entry who, with which certificate, what for."""
    token, jti = issued(stage)
    before = clock.now()
    assert stage.revoke(token).status == 200
    at = revoked_at(stage, jti)
    assert at is not None
    assert before <= at <= clock.now()
    (entry,) = stage.entries()
    assert entry.pop("certificate")["thumbprint"] == stage.bot.thumbprint
    assert entry == {
        "schema": 1,
        "event": "token.revoked",
        "decision": "done",
        "client_id": "bot",
        "jti": jti,
        "resource": stage.settings.default_resource,
        "method": "tls_client_auth",
    }
    assert stage.introspect(token).json() == {"active": False}


def test_the_second_time_nothing_happens(stage: Stage) -> None:
    """The same answer, the first date, one entry."""
    token, jti = issued(stage)
    first = stage.revoke(token)
    at = revoked_at(stage, jti)
    entries = stage.entries(1000)
    assert stage.revoke(token) == first
    assert revoked_at(stage, jti) == at
    assert stage.entries(1000) == entries


def test_others_of_the_same_client_go_on(stage: Stage) -> None:
    """One token is meant, not its client."""
    token, _ = issued(stage)
    other, _ = issued(stage)
    stage.revoke(token)
    assert stage.introspect(other).json()["active"] is True


def test_another_client_s_token_stays_what_it_was(stage: Stage) -> None:
    """Refused even for a client that sees every token, and with the reason in the audit."""
    token, jti = issued(stage)
    peer = stage.add_client("other")
    stage.let_see("other", everything=True)
    answer = stage.revoke(token, peer, client_id="other")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    entry = stage.explained(answer.json()["error_ref"])
    assert (entry["reason"], entry["client_id"]) == ("token_not_own", "other")
    assert revoked_at(stage, jti) is None
    assert stage.introspect(token).json()["active"] is True


def test_a_token_whose_record_is_gone_is_no_error(stage: Stage) -> None:
    """Nothing is left to take back."""
    token, _ = issued(stage)
    with registry.change(stage.desk.db) as conn:
        conn.exec_driver_sql("DELETE FROM tokens")
    assert stage.revoke(token).status == 200
    assert stage.introspect(token).json() == {"active": False}


def test_a_disabled_client_revokes_nothing(stage: Stage) -> None:
    """It is refused like anywhere, and its token is inactive anyhow."""
    token, _ = issued(stage)
    clients.disable(stage.desk, "bot")
    assert stage.revoke(token).status == 401
