"""RFC 7009, OAuth 2.0 Token Revocation."""

import pytest

from tests.kit.asgi import Stage


def issued(stage: Stage) -> str:
    """A token of ``bot``."""
    token: str = stage.token(stage.bot).json()["access_token"]
    return token


def is_active(stage: Stage, token: str) -> bool:
    """As its own client is told."""
    return bool(stage.introspect(token).json()["active"])


@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token", "nonsense"])
def test_section_2_1_a_client_revokes_its_token(stage: Stage, hint: str) -> None:
    """Whatever the hint says: it may be wrong, and is ignored."""
    token = issued(stage)
    assert stage.revoke(token, token_type_hint=hint).status == 200
    assert not is_active(stage, token)


def test_section_2_1_the_client_authenticates(standing: Stage) -> None:
    """No certificate, no revocation; the token stays."""
    token = issued(standing)
    answer = standing.post("/revoke", {"client_id": "bot", "token": token})
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    assert is_active(standing, token)


def test_section_2_1_a_token_of_another_client_is_refused(stage: Stage) -> None:
    """The client is told, and the token stays."""
    token = issued(stage)
    peer = stage.add_client("other")
    answer = stage.revoke(token, peer, client_id="other")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert is_active(stage, token)


def test_section_2_1_the_token_is_required(standing: Stage) -> None:
    """And stands in the body of a POST."""
    assert standing.post("/revoke", {"client_id": "bot"}, peer=standing.bot).status == 400
    assert standing.ask("GET", "/revoke", peer=standing.bot).status == 405


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é", "A" * 60_000])
def test_section_2_2_an_invalid_token_is_no_error(standing: Stage, token: str) -> None:
    """200 with nothing in it: what was asked for is the case already."""
    answer = standing.revoke(token)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("cache-control") == "no-store"


def test_section_2_2_revoking_twice_is_no_error(stage: Stage) -> None:
    """The second answer is the first."""
    token = issued(stage)
    assert stage.revoke(token) == stage.revoke(token)


def test_section_2_it_takes_effect_at_once(stage: Stage) -> None:
    """The next question after the answer finds it revoked."""
    for _ in range(20):
        token = issued(stage)
        assert is_active(stage, token)
        stage.revoke(token)
        assert not is_active(stage, token)
