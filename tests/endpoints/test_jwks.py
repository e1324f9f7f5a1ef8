"""The JWK Set: what verifiers fetch, keep and come back for."""

from typing import Any

from app import clock
from app.jose import jwt
from app.keys import rotate
from app.keys.seal import SealingKey
from app.store import signing_keys
from tests.kit.asgi import Stage


def key_set(stage: Stage) -> list[dict[str, Any]]:
    """The published keys."""
    answer = stage.ask("GET", "/jwks")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


def rotate_now(stage: Stage) -> None:
    """What ``certbound key rotate --force`` does, and the server's next look."""
    rotate.rotate(
        stage.house.database,
        SealingKey.load(stage.settings),
        stage.settings.signing_algorithm,
        clock.now(),
        token_lifetime=stage.settings.access_token_lifetime,
        actor="tester",
        force=True,
    )
    stage.refresh()


def kid_of(token: str) -> str:
    """The key a token names."""
    return str(jwt.unverified(token)[0]["kid"])


def test_only_public_halves_are_published(stage: Stage) -> None:
    """Each key has type, use, algorithm and a kid of its own, and no private member at all."""
    keys = key_set(stage)
    assert len(keys) == 2
    for key in keys:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["kty"], key["crv"]) == ("EC", "P-256")
        assert (key["alg"], key["use"]) == ("ES256", "sig")
    assert len({key["kid"] for key in keys}) == len(keys)


def test_the_answer_may_be_cached(stage: Stage) -> None:
    """The registered media type, five minutes, a strong ETag, and readable by any page."""
    answer = stage.ask("GET", "/jwks")
    assert answer.header("content-type") == "application/jwk-set+json"
    assert answer.header("cache-control") == "public, max-age=300"
    assert answer.header("access-control-allow-origin") == "*"
    etag = answer.header("etag")
    assert etag is not None
    again = stage.ask("GET", "/jwks", headers=[("if-none-match", etag)])
    assert (again.status, again.body, again.header("etag")) == (304, b"", etag)
    assert stage.ask("HEAD", "/jwks").headers == answer.headers


def test_the_next_key_is_published_before_it_signs(stage: Stage) -> None:
    """A verifier that fetched the set yesterday knows the key that signs today."""
    before = {key["kid"] for key in key_set(stage)}
    rotate_now(stage)
    signing = kid_of(stage.token(stage.bot).json()["access_token"])
    assert signing in before


def test_a_retired_key_stays_until_its_tokens_have_ended(stage: Stage) -> None:
    """Old tokens verify after a rotation, and the retired key leaves only when none can be left."""
    old = stage.token(stage.bot)
    etag = stage.ask("GET", "/jwks").header("etag")
    rotate_now(stage)
    assert kid_of(old.json()["access_token"]) in {key["kid"] for key in key_set(stage)}
    assert len(key_set(stage)) == 3
    assert stage.claims(old)["sub"] == "bot"
    assert stage.ask("GET", "/jwks").header("etag") != etag
    with stage.house.database.read() as conn:
        (row,) = [row for row in signing_keys.listed(conn) if row.state == "retired"]
    assert row.remove_after is not None
    assert row.remove_after >= clock.now() + stage.settings.access_token_lifetime


def test_a_rotation_elsewhere_counts_at_once(stage: Stage) -> None:
    """A process that has not looked yet never signs with the old key after another rotated."""
    rotate.rotate(
        stage.house.database,
        SealingKey.load(stage.settings),
        "ES256",
        clock.now(),
        token_lifetime=300,
        actor="another process",
        force=True,
    )
    before = stage.house.door.snapshots.current.keys.current.kid
    assert kid_of(stage.token(stage.bot).json()["access_token"]) != before
