"""The metadata document: exactly what works, at every place clients look for it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from app.admin import resources, trust
from app.clients.methods import METHODS
from app.endpoints import ROUTES
from app.grants import GRANTS
from tests.kit.asgi import Stage

ROOT = "/.well-known/oauth-authorization-server"
Opened = Callable[..., Stage]

AT_ROOT = {
    "issuer": "https://localhost:8443",
    "token_endpoint": "https://localhost:8443/token",
    "introspection_endpoint": "https://localhost:8443/introspect",
    "revocation_endpoint": "https://localhost:8443/revoke",
    "authorization_endpoint": "https://localhost:8443/authorize",
    "jwks_uri": "https://localhost:8443/jwks",
    "scopes_supported": ["api:read"],
    "response_types_supported": ["code"],
    "grant_types_supported": ["client_credentials"],
    "token_endpoint_auth_methods_supported": ["tls_client_auth", "self_signed_tls_client_auth"],
    "revocation_endpoint_auth_methods_supported": [
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ],
    "introspection_endpoint_auth_methods_supported": [
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ],
    "introspection_signing_alg_values_supported": ["ES256"],
    "code_challenge_methods_supported": ["S256"],
    "tls_client_certificate_bound_access_tokens": True,
    "mtls_endpoint_aliases": {
        "token_endpoint": "https://localhost:9443/token",
        "introspection_endpoint": "https://localhost:9443/introspect",
        "revocation_endpoint": "https://localhost:9443/revoke",
    },
}
METHODS_MEMBERS = [name for name in AT_ROOT if name.endswith("_auth_methods_supported")]


def document(stage: Stage, path: str = ROOT) -> dict[str, Any]:
    """The document at `path`."""
    answer = stage.ask("GET", path)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def test_the_document_of_a_fresh_server(stage: Stage) -> None:
    """Every member, and no other: whoever adds an endpoint or a flag changes this test."""
    assert document(stage) == AT_ROOT


def test_an_issuer_with_a_path(opened: Opened) -> None:
    """Path-inserted well-known, the path in every URL and alias, the identifier verbatim."""
    stage = opened(issuer="https://as.example/tenant", mtls_base_url="https://mtls.as.example")
    found = document(stage, ROOT + "/tenant")
    assert found == AT_ROOT | {
        "issuer": "https://as.example/tenant",
        "token_endpoint": "https://as.example/tenant/token",
        "introspection_endpoint": "https://as.example/tenant/introspect",
        "revocation_endpoint": "https://as.example/tenant/revoke",
        "authorization_endpoint": "https://as.example/tenant/authorize",
        "jwks_uri": "https://as.example/tenant/jwks",
        "mtls_endpoint_aliases": {
            "token_endpoint": "https://mtls.as.example/tenant/token",
            "introspection_endpoint": "https://mtls.as.example/tenant/introspect",
            "revocation_endpoint": "https://mtls.as.example/tenant/revoke",
        },
    }
    assert document(stage) == found
    assert stage.ask("GET", "/tenant/jwks").status == 200
    assert stage.ask("GET", "/tenant/authorize").status == 400
    assert stage.post("/tenant/token", {"client_id": "bot"}).status == 400
    assert stage.ask("GET", "/livez").status == 200
    for path in ("/jwks", "/tenant" + ROOT, "/tenant/livez", ROOT + "/other", ROOT + "/tenant/"):
        assert stage.ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("issuer", "well_known", "token"),
    [
        ("https://as.example", ROOT, "https://as.example/token"),
        ("https://as.example/", ROOT, "https://as.example/token"),
        ("https://AS.example:443", ROOT, "https://AS.example:443/token"),
        ("https://as.example/a/b", ROOT + "/a/b", "https://as.example/a/b/token"),
        ("https://as.example/a/", ROOT + "/a", "https://as.example/a/token"),
        ("https://[::1]:8443/a", ROOT + "/a", "https://[::1]:8443/a/token"),
    ],
)
def test_the_issuer_is_printed_verbatim(
    opened: Opened, issuer: str, well_known: str, token: str
) -> None:
    """Clients compare it by character, so nothing about it is tidied up; URLs stay well-formed."""
    stage = opened(issuer=issuer)
    found = document(stage, well_known)
    assert found["issuer"] == issuer
    assert found["token_endpoint"] == token
    assert stage.claims(stage.token(stage.bot))["iss"] == issuer


def test_authlib_finds_nothing_to_object_to(opened: Opened) -> None:
    """The document passes the checks of a library that knows RFC 8414."""
    for issuer in ("https://localhost:8443", "https://as.example/tenant"):
        found = document(opened(issuer=issuer))
        AuthorizationServerMetadata(found).validate()


def test_every_member_has_its_type(stage: Stage) -> None:
    """Endpoints are https URLs, lists are of strings, flags are booleans, nothing is null or empty."""
    for name, value in document(stage).items():
        if name.endswith(("_endpoint", "_uri")) or name == "issuer":
            assert value.startswith("https://")
            assert not set(value) & set("?#@")
        elif name == "mtls_endpoint_aliases":
            assert isinstance(value, dict)
        elif isinstance(value, list):
            assert value
            assert all(isinstance(one, str) and one for one in value)
        else:
            assert value is True


def test_aliases_name_only_what_stands_at_the_top(opened: Opened) -> None:
    """An alias without its ordinary endpoint, or for pages people visit, breaks clients."""
    for issuer in ("https://localhost:8443", "https://as.example/tenant"):
        found = document(opened(issuer=issuer))
        aliases = found["mtls_endpoint_aliases"]
        assert aliases
        assert all(name.endswith("_endpoint") for name in aliases)
        assert aliases.keys() <= found.keys()
        assert "authorization_endpoint" not in aliases
        assert "jwks_uri" not in aliases


def test_the_document_follows_the_tables() -> None:
    """Endpoints, grants and methods come from the tables the server runs by."""
    assert {route.metadata for route in ROUTES if route.metadata} == {
        name for name in AT_ROOT if name.endswith(("_endpoint", "_uri"))
    }
    assert AT_ROOT["grant_types_supported"] == list(GRANTS)
    assert len(METHODS_MEMBERS) == 3
    assert all(AT_ROOT[name] == list(METHODS) for name in METHODS_MEMBERS)


def test_pki_is_not_offered_while_nobody_could_vouch(stage: Stage) -> None:
    """`tls_client_auth` leaves with the last trust anchor and comes back with the next."""
    trust.remove(stage.desk, "default")
    stage.refresh()
    found = document(stage)
    assert all(found[name] == ["self_signed_tls_client_auth"] for name in METHODS_MEMBERS)
    trust.add(stage.desk, "default", stage.settings.home / "certs" / "ca.crt")
    stage.refresh()
    assert document(stage) == AT_ROOT


def test_path_material_alone_vouches_for_nobody(stage: Stage) -> None:
    """A trust set of intermediates only is no reason to offer `tls_client_auth`."""
    trust.remove(stage.desk, "default")
    ca = stage.settings.home / "certs" / "ca.crt"
    stage.refresh()
    with pytest.raises(Exception, match="trust set"):
        trust.add(stage.desk, "middle", ca, intermediates_only=True)
    stage.refresh()
    assert "tls_client_auth" not in document(stage)["token_endpoint_auth_methods_supported"]


def test_scopes_are_those_of_the_default_resource(stage: Stage) -> None:
    """Clients ask for every scope they see here, so only those they could get are shown."""
    stage.add_resource("https://files.example", "files:read")
    stage.add_resource(stage.settings.default_resource, "b", "a")
    stage.refresh()
    assert document(stage)["scopes_supported"] == ["a", "b"]


def test_no_scopes_no_member(stage: Stage) -> None:
    """An empty list would say that no scope is supported; where none is known, nothing is said."""
    stage.add_resource(stage.settings.default_resource)
    stage.refresh()
    assert "scopes_supported" not in document(stage)
    resources.remove(stage.desk, stage.settings.default_resource)
    stage.refresh()
    assert "scopes_supported" not in document(stage)


def test_caches_may_keep_it_and_ask_again(stage: Stage) -> None:
    """Public, five minutes, a strong ETag; 304 for it in every form a cache may send."""
    first = stage.ask("GET", ROOT)
    assert first.header("cache-control") == "public, max-age=300"
    etag = first.header("etag")
    assert etag is not None
    assert etag[0] == etag[-1] == '"'
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = stage.ask("GET", ROOT, headers=[("if-none-match", known)])
        assert (again.status, again.body) == (304, b"")
        assert again.header("etag") == etag
        assert again.header("cache-control") == first.header("cache-control")
        assert again.header("access-control-allow-origin") == "*"
        assert again.header("content-type") is None
    for unknown in ('"other"', etag.strip('"'), ""):
        assert stage.ask("GET", ROOT, headers=[("if-none-match", unknown)]).status == 200


def test_a_change_has_another_etag(stage: Stage) -> None:
    """A cache that revalidates learns of every change."""
    before = stage.ask("GET", ROOT).header("etag")
    stage.add_resource(stage.settings.default_resource, "more")
    stage.refresh()
    assert stage.ask("GET", ROOT).header("etag") != before


def test_any_browser_page_may_read_it(stage: Stage) -> None:
    """CORS for everybody, with the preflight that browser-based inspectors need; no credentials."""
    answer = stage.ask("GET", ROOT, headers=[("origin", "https://inspector.example")])
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-credentials") is None
    preflight = stage.ask(
        "OPTIONS",
        ROOT,
        headers=[
            ("origin", "https://inspector.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "mcp-protocol-version"),
        ],
    )
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.header("access-control-allow-origin") == "*"
    assert (
        "mcp-protocol-version" in (preflight.header("access-control-allow-headers") or "").lower()
    )


def test_head_tells_the_same_headers(stage: Stage) -> None:
    """HEAD answers like GET; the server room leaves the body away."""
    got, head = stage.ask("GET", ROOT), stage.ask("HEAD", ROOT)
    assert (head.status, head.headers) == (got.status, got.headers)


def test_what_is_not_there_is_a_clean_404(stage: Stage) -> None:
    """Clients try several places and stop at a 5xx or a redirect; a 404 sends them on."""
    for path in (
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/mcp",
        "/mcp/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/register",
    ):
        answer = stage.ask("GET", path)
        assert answer.status == 404
        assert answer.json()["error"] == "not_found"


def test_it_is_read_like_any_json(stage: Stage) -> None:
    """Plain UTF-8 JSON without a byte order mark, an object, no duplicate member."""
    body = stage.ask("GET", ROOT).body
    members = json.loads(body.decode("ascii"), object_pairs_hook=list)
    names = [name for name, _ in members]
    assert len(set(names)) == len(names)
