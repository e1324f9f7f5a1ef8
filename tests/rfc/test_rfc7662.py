"""RFC 7662, OAuth 2.0 Token Introspection."""

import json

import pytest

from app.admin import clients
from tests.kit.asgi import FORM, Stage

INACTIVE = b'{"active":false}'


def issued(stage: Stage) -> str:
    """A token of ``bot``."""
    token: str = stage.token(stage.bot).json()["access_token"]
    return token


def test_section_2_1_the_request_is_a_form(standing: Stage) -> None:
    """POST with ``token``, which is required; a hint may stand there, and no GET answers."""
    token = issued(standing)
    for hint in ("access_token", "refresh_token", "nonsense"):
        answer = standing.introspect(token, token_type_hint=hint)
        assert (answer.status, answer.json()["active"]) == (200, True)
    assert standing.post("/introspect", {"client_id": "bot"}, peer=standing.bot).status == 400
    assert standing.ask("GET", "/introspect", peer=standing.bot).status == 405
    body = json.dumps({"token": token, "client_id": "bot"}).encode()
    headers = [("content-type", "application/json")]
    answer = standing.ask("POST", "/introspect", peer=standing.bot, headers=headers, body=body)
    assert answer.status == 400


def test_section_2_1_a_token_in_the_query_is_refused(standing: Stage) -> None:
    """Section 4 too: URLs end up in logs."""
    query = b"token=" + issued(standing).encode()
    answer = standing.ask(
        "POST",
        "/introspect",
        peer=standing.bot,
        headers=[FORM],
        query=query,
        body=b"client_id=bot",
    )
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_section_2_1_nobody_asks_without_authentication(standing: Stage) -> None:
    """Against token scanning: no certificate, no answer, whatever the token is."""
    for token in (issued(standing), "nonsense"):
        answer = standing.post("/introspect", {"client_id": "bot", "token": token})
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


def test_section_2_2_the_members_of_an_active_token(standing: Stage) -> None:
    """Each as in the token itself; ``cnf`` by RFC 8705 section 3.2."""
    got = standing.token(standing.bot)
    claims = standing.claims(got)
    answer = standing.introspect(got.json()["access_token"])
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    members = answer.json()
    del claims["status"]
    assert members == claims | {"active": True, "token_type": "Bearer"}
    assert isinstance(members["exp"], int)


def test_section_2_2_inactive_says_nothing_more(stage: Stage) -> None:
    """Unknown, malformed, revoked, not this caller's: the same octets and headers."""
    token = issued(stage)
    stranger = stage.add_client("stranger")
    answers = [stage.introspect(text) for text in ("nonsense", token + "x", token[:-1], "é", ".")]
    answers.append(stage.introspect(token, stranger, client_id="stranger"))
    stage.revoke(token)
    answers.append(stage.introspect(token))
    assert {(answer.status, answer.headers, answer.body) for answer in answers} == {
        (200, answers[0].headers, INACTIVE)
    }


@pytest.mark.parametrize(
    ("serves", "everything", "sees"),
    [
        ((), False, False),
        (("https://localhost:9444",), False, True),
        (("https://localhost:9444/",), False, False),
        ((), True, True),
    ],
)
def test_section_2_2_who_may_look_is_registered(
    stage: Stage, serves: tuple[str, ...], *, everything: bool, sees: bool
) -> None:
    """A resource's server sees the tokens for its resource, an auditor all, anybody else its own."""
    token = issued(stage)
    peer = stage.add_client("api")
    stage.let_see("api", *serves, everything=everything)
    assert stage.introspect(token, peer, client_id="api").json()["active"] is sees
    own = stage.token(peer, client_id="api").json()["access_token"]
    assert stage.introspect(own, peer, client_id="api").json()["active"] is True


def test_section_2_3_errors_are_those_of_oauth(stage: Stage) -> None:
    """401 ``invalid_client``; a question that may not be asked is no error, but inactive."""
    token = issued(stage)
    clients.disable(stage.desk, "bot")
    answer = stage.introspect(token)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


def test_section_4_the_token_counts_now(stage: Stage) -> None:
    """Revoked, its client disabled, its client removed: not active from that moment."""
    peer = stage.add_client("other")
    stage.let_see("other", everything=True)

    def seen(token: str) -> bool:
        return bool(stage.introspect(token, peer, client_id="other").json()["active"])

    first, second, third = issued(stage), issued(stage), issued(stage)
    assert seen(first)
    stage.revoke(first)
    assert not seen(first)
    assert seen(second)
    clients.disable(stage.desk, "bot")
    assert not seen(second)
    clients.enable(stage.desk, "bot")
    clients.remove(stage.desk, "bot")
    assert not seen(third)
