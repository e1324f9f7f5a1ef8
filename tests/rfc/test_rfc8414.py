"""RFC 8414, OAuth 2.0 Authorization Server Metadata."""

from collections.abc import Callable
from urllib.parse import urlsplit

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from tests.kit.asgi import Stage

ROOT = "/.well-known/oauth-authorization-server"
Opened = Callable[..., Stage]


def test_section_2_required_members(standing: Stage) -> None:
    """issuer, token endpoint and response types are there; the authorization endpoint with them."""
    found = standing.ask("GET", ROOT).json()
    for name in ("issuer", "token_endpoint", "response_types_supported", "authorization_endpoint"):
        assert found[name]


def test_section_2_the_issuer_is_an_https_url(standing: Stage) -> None:
    """No query and no fragment in it."""
    parts = urlsplit(standing.ask("GET", ROOT).json()["issuer"])
    assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")
    assert parts.hostname


def test_section_2_the_key_set_is_where_the_document_says(standing: Stage) -> None:
    """jwks_uri leads to the keys that verify this server's tokens."""
    path = urlsplit(standing.ask("GET", ROOT).json()["jwks_uri"]).path
    answer = standing.ask("GET", path)
    assert answer.status == 200
    assert standing.claims(standing.token(standing.bot))
    assert answer.json()["keys"]


def test_section_2_grants_are_those_that_work(standing: Stage) -> None:
    """A grant in the document gives a token; since the member has a default, it is always there."""
    grants = standing.ask("GET", ROOT).json()["grant_types_supported"]
    assert grants == ["client_credentials"]
    for grant in grants:
        assert standing.token(standing.bot, grant_type=grant).status == 200
    for absent in ("authorization_code", "implicit", "refresh_token", "password"):
        answer = standing.token(standing.bot, grant_type=absent)
        assert answer.json()["error"] == "unsupported_grant_type"


def test_section_2_authentication_methods_are_those_that_work(stage: Stage) -> None:
    """Each listed method gives its client a token; the default of the member does not apply."""
    found = stage.ask("GET", ROOT).json()
    methods = found["token_endpoint_auth_methods_supported"]
    assert methods == ["tls_client_auth", "self_signed_tls_client_auth"]
    assert stage.token(stage.bot).status == 200
    assert stage.token(stage.add_self_signed("s"), client_id="s").status == 200
    # needed only with private_key_jwt and client_secret_jwt
    assert "token_endpoint_auth_signing_alg_values_supported" not in found


def test_section_2_no_endpoint_that_is_not_there(standing: Stage) -> None:
    """Every endpoint in the document answers something other than 404."""
    for name, value in standing.ask("GET", ROOT).json().items():
        if name.endswith(("_endpoint", "_uri")):
            assert standing.ask("GET", urlsplit(value).path).status != 404


def test_section_3_1_the_path_of_the_issuer_is_inserted(opened: Opened) -> None:
    """The well-known part stands between host and path, and a final slash falls away."""
    for issuer in ("https://as.example", "https://as.example/a", "https://as.example/a/b/"):
        url = get_well_known_url(issuer, external=True)
        answer = opened(issuer=issuer).ask("GET", urlsplit(url).path.rstrip("/"))
        assert answer.status == 200
        assert answer.json()["issuer"] == issuer


def test_section_3_2_a_json_object_with_status_200(standing: Stage) -> None:
    """200, application/json, an object; lists are arrays, and none is empty."""
    answer = standing.ask("GET", ROOT)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    found = answer.json()
    assert isinstance(found, dict)
    assert all(value not in ([], {}, None, "") for value in found.values())


def test_section_3_3_the_issuer_is_the_one_asked(opened: Opened) -> None:
    """What the document says equals, by character, the identifier the URL was made from."""
    for issuer in ("https://as.example", "https://AS.example/Tenant"):
        stage = opened(issuer=issuer)
        path = urlsplit(get_well_known_url(issuer, external=True)).path
        assert stage.ask("GET", path).json()["issuer"] == issuer
        assert stage.claims(stage.token(stage.bot))["iss"] == issuer


def test_section_2_as_a_library_reads_it(standing: Stage) -> None:
    """Authlib's validation of every member raises nothing."""
    AuthorizationServerMetadata(standing.ask("GET", ROOT).json()).validate()
