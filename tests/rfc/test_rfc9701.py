"""RFC 9701, JWT Response for OAuth Token Introspection."""

from pathlib import Path

import pytest
from joserfc import jwt as other_jwt
from joserfc.jwk import KeySet

from app import clock
from app.jose import jwt
from app.jose.jwt import InvalidToken
from tests.kit.asgi import Stage, staged
from tests.kit.stages import template

MEDIA_TYPE = "application/token-introspection+jwt"


def issued(stage: Stage) -> str:
    """A token of ``bot``."""
    token: str = stage.token(stage.bot).json()["access_token"]
    return token


def read(stage: Stage, body: bytes) -> other_jwt.Token:
    """The JWT, verified by another library with the published keys."""
    keys = KeySet.import_key_set(stage.ask("GET", "/jwks").json())
    return other_jwt.decode(body.decode(), keys, algorithms=["ES256"])


def test_section_4_the_accept_header_asks_for_it(standing: Stage) -> None:
    """By name and rated higher than JSON; else the answer is JSON, as before."""
    token = issued(standing)
    for accept in (MEDIA_TYPE, f"{MEDIA_TYPE}, application/json;q=0.5"):
        answer = standing.introspect(token, accept=accept)
        assert (answer.status, answer.header("content-type")) == (200, MEDIA_TYPE)
    for accept in ("*/*", "application/json", f"{MEDIA_TYPE};q=0.4, application/json", "text/html"):
        answer = standing.introspect(token, accept=accept)
        assert (answer.status, answer.header("content-type")) == (200, "application/json")


def test_section_4_errors_stay_what_they_are(standing: Stage) -> None:
    """A refusal is JSON, whatever was asked for."""
    fields = {"client_id": "bot", "token": "x"}
    answer = standing.post("/introspect", fields, headers=[("accept", MEDIA_TYPE)])
    assert (answer.status, answer.header("content-type")) == (401, "application/json")


def test_section_5_the_jwt_of_an_active_token(standing: Stage) -> None:
    """Its type, issuer, audience and date at the top; what introspection says in one claim."""
    token = issued(standing)
    before = clock.now()
    answer = standing.introspect(token, accept=MEDIA_TYPE)
    found = read(standing, answer.body)
    assert found.header["typ"] == "token-introspection+jwt"
    assert found.claims.keys() == {"iss", "aud", "iat", "token_introspection"}
    assert (found.claims["iss"], found.claims["aud"]) == (standing.settings.issuer, "bot")
    assert before <= found.claims["iat"] <= clock.now()
    assert found.claims["token_introspection"] == standing.introspect(token).json()


@pytest.mark.parametrize("told", [{}, {"certificate_thumbprint": "none"}])
def test_section_5_inactive_says_nothing_more(standing: Stage, told: dict[str, str]) -> None:
    """Signed too; with nothing but ``active``, and never a ``sub`` or ``exp``."""
    found = read(
        standing, standing.introspect("nonsense", standing.bot, accept=MEDIA_TYPE, **told).body
    )
    assert found.claims["token_introspection"] == {"active": False}
    assert found.claims["aud"] == "bot"


def test_section_5_the_audience_is_who_asked(stage: Stage) -> None:
    """The answer to one resource's server is no answer to another's."""
    token = issued(stage)
    peer = stage.add_client("api")
    stage.let_see("api", everything=True)
    answer = stage.introspect(token, peer, client_id="api", accept=MEDIA_TYPE)
    found = read(stage, answer.body)
    assert found.claims["aud"] == "api"
    assert found.claims["token_introspection"]["client_id"] == "bot"


def test_section_5_a_verdict_is_signed_too(stage: Stage) -> None:
    """Whose certificate it was stands beside ``active`` (docs/divergences.md)."""
    token = issued(stage)
    stage.let_see("bot", stage.settings.default_resource)
    for told, said in ((stage.bot.thumbprint, "holder"), ("none", "no_certificate")):
        answer = stage.introspect(token, accept=MEDIA_TYPE, certificate_thumbprint=told)
        members = read(stage, answer.body).claims["token_introspection"]
        assert (members["certificate_verdict"], members["active"]) == (said, said == "holder")


def test_section_7_the_metadata_names_the_algorithm(tmp_path: Path) -> None:
    """The one that signs at this moment."""
    with staged(template(), tmp_path / "home") as stage:
        configured = stage.settings.signing_algorithm
        found = stage.ask("GET", "/.well-known/oauth-authorization-server").json()
        answer = stage.introspect("x", accept=MEDIA_TYPE)
        header, _ = jwt.unverified(answer.body)
    assert found["introspection_signing_alg_values_supported"] == [header["alg"]]
    assert header["alg"] == configured


def test_section_8_1_it_is_no_access_token(standing: Stage) -> None:
    """Neither a resource's verifier nor introspection takes the answer for a token."""
    body = standing.introspect(issued(standing), accept=MEDIA_TYPE).body
    with pytest.raises(InvalidToken, match="typ"):
        jwt.verify(
            body,
            keys=standing.house.door.snapshots.current.keys.published,
            algorithm="ES256",
            issuer=standing.settings.issuer,
            audience="bot",
            now=clock.now(),
        )
    assert standing.introspect(body.decode()).json() == {"active": False}
    assert standing.introspect(body.decode(), certificate_thumbprint="none").json() == {
        "active": False
    }
