"""RFC 9068, JWT Profile for OAuth 2.0 Access Tokens."""

import base64
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from joserfc import jwt as plain
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.jose import jwt
from tests.kit.asgi import Stage, make_home, settings_for

NUMBERS = {"iat", "exp"}


def test_section_2_1_the_type_says_access_token(standing: Stage) -> None:
    """The header's typ is at+jwt, so that no other JWT of ours can pass for one."""
    header, _ = jwt.unverified(standing.token(standing.bot).json()["access_token"])
    assert header.keys() == {"alg", "typ", "kid"}
    assert header["typ"] == "at+jwt"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 renames it; verifiers lag
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256", "RS256"])
def test_section_2_1_tokens_are_signed_asymmetrically(tmp_path: Path, algorithm: str) -> None:
    """Signed, never ``none``; a JOSE library verifies them with the published keys alone."""
    make_home(tmp_path, signing_algorithm=algorithm)
    with Stage(settings_for(tmp_path, signing_algorithm=algorithm)) as stage:
        token = stage.token(stage.bot).json()["access_token"]
        keys = KeySet.import_key_set(stage.ask("GET", "/jwks").json())
    decoded = plain.decode(token, keys, algorithms=[algorithm])
    assert decoded.header["alg"] == algorithm
    assert decoded.claims["sub"] == "bot"


def test_section_2_2_the_claims(standing: Stage) -> None:
    """All required ones and no others: nothing in a token that nobody asked for."""
    before = int(time.time())
    claims = standing.claims(standing.token(standing.bot))
    assert claims.keys() == {
        "iss",
        "sub",
        "aud",
        "client_id",
        "iat",
        "exp",
        "jti",
        "cnf",
        "status",
        "scope",
    }
    assert claims["iss"] == standing.settings.issuer
    assert claims["client_id"] == "bot"
    assert claims["aud"] == standing.settings.default_resource
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == standing.settings.access_token_lifetime
    for name, value in claims.items():
        expected = int if name in NUMBERS else dict if name in ("cnf", "status") else str
        assert type(value) is expected, name


def test_section_2_2_the_subject_of_a_client_is_the_client(standing: Stage) -> None:
    """Where nobody else is involved, sub is the client itself."""
    claims = standing.claims(standing.token(standing.bot))
    assert claims["sub"] == claims["client_id"]


def test_section_2_2_jti_is_unique(standing: Stage) -> None:
    """No two tokens share an identifier: a millisecond, and 96 random bits that nobody guesses."""
    found = [standing.claims(standing.token(standing.bot))["jti"] for _ in range(20)]
    assert len(set(found)) == len(found)
    assert len({jti[12:] for jti in found}) == len(found)
    assert all(len(jti) == 12 + 16 for jti in found)


def test_section_2_2_3_scope_stands_in_the_token(stage: Stage) -> None:
    """The scope given is a claim, a space-separated string; where there is none, so is the claim."""
    assert stage.claims(stage.token(stage.bot))["scope"] == "api:read"
    peer = stage.add_client("scopeless")
    answer = stage.token(peer, client_id="scopeless")
    assert "scope" not in stage.claims(answer)
    assert "scope" not in answer.json()


def test_section_3_the_audience_is_one_resource(stage: Stage) -> None:
    """The resource asked for or the default one, as a string, so scopes are never ambiguous."""
    stage.add_resource("https://files.example", "files:read")
    peer = stage.add_client("reader", resources=("https://files.example",))
    for answer in (
        stage.token(stage.bot),
        stage.token(peer, client_id="reader", resource="https://files.example"),
    ):
        assert type(stage.claims(answer)["aud"]) is str


def test_section_4_the_metadata_is_all_a_resource_server_needs(standing: Stage) -> None:
    """What the document names verifies a token, and its issuer is the same to the letter."""
    found = standing.ask("GET", "/.well-known/oauth-authorization-server").json()
    keys = KeySet.import_key_set(standing.ask("GET", urlsplit(found["jwks_uri"]).path).json())
    token = standing.token(standing.bot).json()["access_token"]
    decoded = plain.decode(token, keys)
    assert decoded.claims["iss"] == found["issuer"]


def test_section_4_a_changed_token_is_worthless(standing: Stage) -> None:
    """Whoever changes a claim, takes the signature away or names another algorithm fails."""
    token = standing.token(standing.bot).json()["access_token"]
    header, payload, signature = token.split(".")
    keys = KeySet.import_key_set(standing.ask("GET", "/jwks").json())
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    other = payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB")
    for forged in (f"{header}.{other}.{signature}", f"{header}.{payload}.", f"{none}.{payload}."):
        with pytest.raises(JoseError):
            plain.decode(forged, keys)


def test_section_6_nothing_of_the_certificate_but_its_hash(standing: Stage) -> None:
    """A token tells a resource server no name, no serial and no issuer of the certificate."""
    _, claims = jwt.unverified(standing.token(standing.bot).json()["access_token"])
    text = json.dumps(claims)
    for private in ("spiffe://", "CN=", "development CA"):
        assert private not in text
