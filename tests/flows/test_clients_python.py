"""Python's usual HTTP and OAuth libraries get a token with what they bring along."""

import asyncio
import ssl
from pathlib import Path

import httpx2
import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client

from tests.kit import tokens
from tests.kit.running import Running


def metadata(server: Running) -> dict[str, object]:
    """The metadata document, as a client finds it."""
    with server.client(None) as http:
        found: dict[str, object] = http.get(
            f"{server.issuer}/.well-known/oauth-authorization-server"
        ).json()
    return found


def endpoint(server: Running, *, aliases: bool) -> str:
    """The token endpoint as metadata names it, for clients that read aliases or ignore them."""
    document = metadata(server)
    found = document["mtls_endpoint_aliases"] if aliases else document
    assert isinstance(found, dict)
    return str(found["token_endpoint"])


def test_metadata_says_who_binds_and_where(server: Running) -> None:
    """The document names the issuer verbatim, both methods, binding, and the listener's alias."""
    document = metadata(server)
    assert document["issuer"] == server.issuer
    assert document["tls_client_certificate_bound_access_tokens"] is True
    base = server.mtls_token_url.removesuffix("/token")
    assert document["mtls_endpoint_aliases"] == {
        "token_endpoint": f"{base}/token",
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
    }
    assert document["token_endpoint"] == server.token_url
    assert document["token_endpoint_auth_methods_supported"] == [
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ]


@pytest.mark.parametrize("aliases", [True, False])
def test_httpx2(server: Running, *, aliases: bool) -> None:
    """An SSLContext with the chain loaded, in ``verify=``."""
    with server.client() as http:
        token = tokens.issued(tokens.ask(http, endpoint(server, aliases=aliases)))
    assert tokens.verified(server, token)["client_id"] == "bot"


@pytest.mark.parametrize("aliases", [True, False])
def test_httpx2_asynchronous(server: Running, *, aliases: bool) -> None:
    """The same from an event loop, twice on one connection."""

    async def twice() -> list[httpx2.Response]:
        tls = server.tls(server.file("bot.crt"))
        async with httpx2.AsyncClient(verify=tls, trust_env=False, timeout=60) as http:
            form = {"grant_type": "client_credentials", "client_id": "bot"}
            url = endpoint(server, aliases=aliases)
            return [await http.post(url, data=form) for _ in range(2)]

    first, second = map(tokens.issued, asyncio.run(twice()))
    assert tokens.read(first)["cnf"] == tokens.read(second)["cnf"]


def by_requests(
    server: Running, url: str, *, cert: tuple[str, str] | None = None, per_call: bool = True
) -> requests.Response:
    """One request with `requests`; ``verify`` per call, or on the session as most examples do."""
    with requests.Session() as session:
        session.verify = str(server.file("ca.crt"))
        session.cert = cert or (str(server.file("bot.crt")), str(server.file("bot.key")))
        return session.post(
            url,
            data={"grant_type": "client_credentials", "client_id": "bot"},
            verify=str(server.file("ca.crt")) if per_call else None,
            timeout=60,
        )


@pytest.mark.parametrize("aliases", [True, False])
def test_requests(server: Running, *, aliases: bool) -> None:
    """``cert=(file, file)`` and ``verify=`` in each call."""
    response = by_requests(server, endpoint(server, aliases=aliases))
    assert response.status_code == 200
    assert tokens.verified(server, response.json()["access_token"])["client_id"] == "bot"


def test_requests_and_its_environment(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE silently beats ``session.verify``; ``verify=`` in the call beats both."""
    server.certbound("ca", "issue", "bundle", "--self-signed", "--out", str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.crt"))
    url = endpoint(server, aliases=True)
    assert by_requests(server, url).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        by_requests(server, url, per_call=False)


def authlib_client(tls: ssl.SSLContext, method: str = "none") -> OAuth2Client:
    """Authlib knows no tls_client_auth; method none sends client_id and nothing else."""
    return OAuth2Client(
        "bot", token_endpoint_auth_method=method, verify=tls, trust_env=False, timeout=60
    )


@pytest.mark.parametrize("aliases", [True, False])
def test_authlib(server: Running, *, aliases: bool) -> None:
    """Method ``none`` with the certificate on the connection."""
    with authlib_client(server.tls(server.file("bot.crt"))) as client:
        token = client.fetch_token(
            endpoint(server, aliases=aliases), grant_type="client_credentials"
        )
    assert tokens.verified(server, token["access_token"])["client_id"] == "bot"
    assert token["token_type"] == "Bearer"  # noqa: S105 - a type, no secret


def test_authlib_reads_the_refusal(server: Running) -> None:
    """Without a certificate its error carries our code and the hint at the mTLS alias."""
    with (
        authlib_client(server.tls()) as client,
        pytest.raises(OAuthError, match="mTLS endpoint alias") as raised,
    ):
        client.fetch_token(server.token_url, grant_type="client_credentials")
    assert raised.value.error == "invalid_client"
