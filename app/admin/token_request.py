"""A client's side of the token endpoint: metadata, the mTLS alias, one request.

Guarantees that the server's certificate is verified and that the metadata names the issuer that
was asked for (RFC 8414 section 3.3). The private key is used for TLS alone and shown nowhere.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError

from app.admin.problem import Kind, Problem
from app.issuers import Issuer
from app.jose.strict_json import parse_object
from app.jose.strict_tls import strict

TIME_LIMIT = 10.0
"""Seconds for each of the two requests."""
MAX_ANSWER = 64 * 1024
_NO_PAIR = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})
"""OpenSSL's words for a key of another certificate."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: certificate and key files, the CA that vouches for the server, and the client_id."""

    client_id: str
    certificate: Path
    key: Path
    ca_file: Path | None
    """None: the system's roots."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the token endpoint said."""

    url: str
    status: int
    members: Mapping[str, Any]

    @property
    def access_token(self) -> str | None:
        """The token; None for a refusal."""
        token = self.members.get("access_token")
        return token if self.status == 200 and isinstance(token, str) else None  # noqa: PLR2004 - OK


def ask(holder: Holder, issuer: str, *, scope: str | None, resource: str | None) -> Answer:
    """Get a token by the client credentials grant.

    Raises:
        Problem: the files cannot be used, the server cannot be reached or trusted, or it does not
            answer as an authorization server does.

    """
    tls = _tls(holder)
    url = _token_endpoint(issuer, tls)
    answers: list[httpx2.Response] = []

    def keep(response: httpx2.Response) -> httpx2.Response:
        answers.append(response)
        return response

    # RFC 8705 section 2: the certificate authenticates, only client_id goes into the body; that
    # is what Authlib calls "none".
    with OAuth2Client(
        holder.client_id,
        token_endpoint_auth_method="none",  # noqa: S106 - a method's name
        scope=scope,
        verify=tls,
        timeout=TIME_LIMIT,
        trust_env=False,
    ) as client:
        client.register_compliance_hook("access_token_response", keep)
        wanted = {} if resource is None else {"resource": resource}
        try:
            client.fetch_token(url, grant_type="client_credentials", **wanted)
        except (OAuthError, ValueError, httpx2.HTTPStatusError):
            pass  # the answer itself is shown, whatever it is
        except httpx2.TransportError as error:
            raise _unreachable(url, error) from error
    return Answer(url, answers[0].status_code, _members(answers[0]))


def _tls(holder: Holder) -> ssl.SSLContext:
    try:
        context = strict(ssl.create_default_context(cafile=holder.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise _unusable(holder.ca_file, error, "CA certificates, PEM") from error
    try:
        # Without a password given, an encrypted key would ask for one on the terminal.
        context.load_cert_chain(holder.certificate, holder.key, password=b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        files = f"{holder.certificate} and {holder.key}"
        raise _unusable(files, error, "a PEM certificate and its unencrypted key") from error
    return context


def _unusable(what: object, error: Exception, expected: str) -> Problem:
    if getattr(error, "reason", None) in _NO_PAIR:
        return Problem(
            f"{what} cannot be used",
            seen="this key does not belong to this certificate",
            expected=expected,
            kind=Kind.ENVIRONMENT,
        )
    seen = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return Problem(
        f"{what} cannot be used",
        seen=str(seen).lower().replace("_", " "),
        expected=expected,
        kind=Kind.ENVIRONMENT,
    )


def _token_endpoint(issuer: str, tls: ssl.SSLContext) -> str:
    """Where to ask: the mTLS alias where there is one (RFC 8705 section 5)."""
    parts = urlsplit(issuer)
    path = Issuer(issuer, "").well_known_paths[0]
    url = f"{parts.scheme}://{parts.netloc}{path}"
    try:
        with httpx2.Client(verify=tls, timeout=TIME_LIMIT, trust_env=False) as client:
            response = client.get(url)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise _unreachable(url, error) from error
    metadata = _members(response)
    if response.status_code != 200 or metadata.get("issuer") != issuer:  # noqa: PLR2004 - OK
        raise Problem(
            "this server's metadata cannot be used",
            seen=f"status {response.status_code}, issuer {metadata.get('issuer')}",
            expected=f"issuer {issuer}, character by character",
            action="Name the issuer as its metadata does: --issuer URL",
            kind=Kind.ENVIRONMENT,
        )
    aliases = metadata.get("mtls_endpoint_aliases")
    alias = aliases.get("token_endpoint") if isinstance(aliases, dict) else None
    endpoint = alias or metadata.get("token_endpoint")
    if not isinstance(endpoint, str) or urlsplit(endpoint).scheme != "https":
        raise Problem(
            "this server's metadata cannot be used",
            seen="no https token_endpoint",
            expected="RFC 8414 section 2",
            kind=Kind.ENVIRONMENT,
        )
    return endpoint


def _members(response: httpx2.Response) -> dict[str, Any]:
    try:
        return parse_object(response.content, at_most=MAX_ANSWER)
    except ValueError:
        return {}


_PORTS = (
    "If yours was started with --port, write port = … and mtls_port = … into certbound.toml instead, "
    "so that every command knows."
)


def _unreachable(url: str, error: Exception) -> Problem:
    text = str(error) or type(error).__name__
    action = f"Start it with: certbound serve. {_PORTS}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        action = (
            "Name the CA of the server's certificate with --cacert. Where that is this home's, "
            f"another server answers there. {_PORTS}"
        )
    elif _is_unresolved(error):
        action = "Correct the host name in the issuer, or name another server with --issuer."
    return Problem(
        "the server cannot be reached",
        seen=f"{url}: {text}",
        expected="a server that answers, with a certificate that --cacert vouches for",
        action=action,
        kind=Kind.ENVIRONMENT,
    )


def _is_unresolved(error: BaseException | None) -> bool:
    """Whether a host without an address is behind it."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False
