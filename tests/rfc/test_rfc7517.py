"""RFC 7517, JSON Web Key: the published set (with RFC 7518 for the members of each key type)."""

from pathlib import Path

import pytest

from tests.kit.asgi import Stage, make_home, settings_for

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
MEMBERS = {
    "ES256": {"kty", "crv", "x", "y"},
    "EdDSA": {"kty", "crv", "x"},
    "PS256": {"kty", "n", "e"},
    "RS256": {"kty", "n", "e"},
}
"""RFC 7518 section 6, RFC 8037 section 2."""


@pytest.mark.parametrize("algorithm", MEMBERS)
def test_section_4_each_key_is_complete_and_public(tmp_path: Path, algorithm: str) -> None:
    """The type and its public members, use, alg and kid; never a private member."""
    make_home(tmp_path, signing_algorithm=algorithm)
    with Stage(settings_for(tmp_path, signing_algorithm=algorithm)) as stage:
        keys = stage.ask("GET", "/jwks").json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert key.keys() == MEMBERS[algorithm] | {"kid", "alg", "use"}
        assert not key.keys() & PRIVATE
        assert (key["alg"], key["use"]) == (algorithm, "sig")


def test_section_4_5_no_two_keys_share_a_kid(standing: Stage) -> None:
    """A verifier finds one key by its kid."""
    kids = [key["kid"] for key in standing.ask("GET", "/jwks").json()["keys"]]
    assert len(set(kids)) == len(kids)


def test_section_5_the_set_is_an_object_with_keys(standing: Stage) -> None:
    """A JSON object whose member ``keys`` is an array; nothing else stands in it."""
    found = standing.ask("GET", "/jwks").json()
    assert found.keys() == {"keys"}
    assert isinstance(found["keys"], list)


def test_section_8_5_1_the_media_type(standing: Stage) -> None:
    """application/jwk-set+json."""
    assert standing.ask("GET", "/jwks").header("content-type") == "application/jwk-set+json"
