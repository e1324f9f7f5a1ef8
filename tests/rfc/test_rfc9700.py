"""RFC 9700, Best Current Practice for OAuth 2.0 Security: what a server of our kind can do."""

import pytest

from app.binding import mtls
from app.errors import Refused
from tests.kit.asgi import Stage

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def test_section_2_1_2_no_token_from_the_authorization_endpoint(standing: Stage) -> None:
    """The implicit grant does not exist here."""
    for kind in (b"token", b"id_token%20token", b"code%20token"):
        answer = standing.ask("GET", "/authorize", query=b"client_id=bot&response_type=" + kind)
        assert answer.status == 400
        assert answer.header("location") is None


def test_section_2_2_1_every_access_token_is_sender_constrained(stage: Stage) -> None:
    """There is no way to a token without a certificate in it, and nobody else can use it."""
    peer = stage.add_self_signed("solo")
    for one, client_id in ((stage.bot, "bot"), (peer, "solo")):
        cnf = stage.claims(stage.token(one, client_id=client_id))["cnf"]
        mtls.check(cnf, one)
        for other in (stage.peer("server"), None):
            with pytest.raises(Refused):
                mtls.check(cnf, other)


def test_section_2_3_privileges_are_the_least(stage: Stage) -> None:
    """A token is for one resource and carries at most what client and resource have in common."""
    stage.add_resource("https://files.example", "files:read", "files:write")
    peer = stage.add_client(
        "narrow", resources=("https://files.example",), scopes=("files:read", "api:read")
    )
    claims = stage.claims(stage.token(peer, client_id="narrow", resource="https://files.example"))
    assert (claims["aud"], claims["scope"]) == ("https://files.example", "files:read")


def test_section_2_4_no_password_grant(standing: Stage) -> None:
    """Nobody can hand a person's password to this server."""
    answer = standing.token(standing.bot, grant_type="password", username="u", password="p")  # noqa: S106 - nobody's
    assert (answer.status, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_section_2_5_clients_authenticate_with_asymmetric_keys(standing: Stage) -> None:
    """Mutual TLS is the only method: no shared secret is stored here that could be stolen."""
    methods = standing.ask("GET", WELL_KNOWN).json()["token_endpoint_auth_methods_supported"]
    assert set(methods) == {"tls_client_auth", "self_signed_tls_client_auth"}


def test_section_2_6_the_metadata_is_published(standing: Stage) -> None:
    """Clients configure themselves from it."""
    assert standing.ask("GET", WELL_KNOWN).status == 200


def test_section_2_6_no_cors_where_people_sign_in(standing: Stage) -> None:
    """The authorization endpoint answers no page of another origin."""
    headers = [("origin", "https://evil.example")]
    for method in ("GET", "POST", "OPTIONS"):
        answer = standing.ask(method, "/authorize", headers=headers)
        assert answer.header("access-control-allow-origin") is None


def test_section_4_11_no_open_redirector(standing: Stage) -> None:
    """Nobody is ever sent to a place that stands in the request."""
    query = b"client_id=bot&response_type=code&redirect_uri=https://evil.example"
    for path in ("/authorize", "/", "/nothing", "/token/"):
        answer = standing.ask("GET", path, query=query)
        assert answer.status in {400, 404}
        assert answer.header("location") is None
        assert b"evil" not in answer.body
