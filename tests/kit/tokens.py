"""Asking for tokens and reading them with somebody else's library."""

import json
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from app.jose.base64url import decode
from tests.kit.running import Running

DEFAULT_RESOURCE = "https://localhost:9444"


def ask(http: httpx2.Client, url: str, client_id: str = "bot", **more: str) -> httpx2.Response:
    """A token request for the client credentials grant, as a connector sends it."""
    form = {"grant_type": "client_credentials", "client_id": client_id, **more}
    return http.post(url, data=form)


def ask_as(
    server: Running, name: str, client_id: str | None = None, **more: str
) -> httpx2.Response:
    """The same on a new connection with the certificate ``certs/<name>.crt``."""
    with server.client(name) as http:
        return ask(http, server.mtls_token_url, client_id or name, **more)


def issued(response: httpx2.Response) -> str:
    """The token of a successful answer."""
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    members = response.json()
    assert members["token_type"] == "Bearer"  # noqa: S105 - a type, no secret
    token: str = members["access_token"]
    return token


def refused(response: httpx2.Response, error: str = "invalid_client", status: int = 401) -> str:
    """The `error_ref` of a refusal with this code."""
    assert response.status_code == status, response.text
    assert response.headers["cache-control"] == "no-store"
    members = response.json()
    assert members["error"] == error
    assert set(members) == {"error", "error_description", "error_ref"}
    ref: str = members["error_ref"]
    return ref


def header(token: str) -> dict[str, Any]:
    """The JOSE header, unverified."""
    return _part(token, 0)


def read(token: str) -> dict[str, Any]:
    """The claims, unverified."""
    return _part(token, 1)


def _part(token: str, index: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(token.split(".")[index]))
    return found


def verified(server: Running, token: str) -> dict[str, Any]:
    """The claims, after joserfc checked the signature with what ``/jwks`` publishes."""
    with server.client(None) as http:
        keys = KeySet.import_key_set(http.get(f"{server.issuer}/jwks").json())
    return dict(jwt.decode(token, keys, algorithms=["ES256", "EdDSA", "PS256", "RS256"]).claims)
