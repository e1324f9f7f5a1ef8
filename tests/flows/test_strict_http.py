"""One meaning per request: what the token endpoint refuses over the real server, octet by octet."""

import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.errors import InvalidClient
from tests.kit import ledger, tokens
from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, Reader, Response

GRANT = b"grant_type=client_credentials"
GOOD = GRANT + b"&client_id=bot"
FORM = "application/x-www-form-urlencoded"
DESCRIPTIONS = {
    "The request is malformed.",
    "The request body is too large.",
    "The request headers are too large.",
    "The endpoint does not take this HTTP method.",
    "There is nothing at this path. Endpoint URLs are in the server's metadata.",
    "The scope is malformed or not allowed.",
    "The resource is missing, unknown or not allowed.",
    "The grant type is not supported.",
    InvalidClient.description,
}
"""Every text an error may carry here: nothing of what was sent is ever among them."""


@dataclass(frozen=True)
class Ask:
    """One request and the answer it must get."""

    status: int
    body: bytes = GOOD
    error: str = "invalid_request"
    method: str = "POST"
    path: str = "/token"
    content_type: str | None = FORM
    headers: tuple[str, ...] = ("Host: localhost",)
    certificate: bool = True

    def octets(self) -> bytes:
        """What goes over the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", *self.headers]
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if self.body or self.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


HOST = "Host: localhost"
BASIC = f"Authorization: Basic {base64.b64encode(b'bot:secret').decode()}"
ASSERTION = GOOD + b"&client_assertion=e30.e30.x&client_assertion_type=urn%3Aietf%3Aparams%3Ajwt"

ROWS: dict[str, Ask] = {
    # parameters
    "repeated, equal": Ask(400, GOOD + b"&grant_type=client_credentials"),
    "repeated, other value": Ask(400, GOOD + b"&client_id=other"),
    "repeated, first one empty": Ask(400, b"client_id=&" + GOOD),
    "repeated, unknown name": Ask(400, GOOD + b"&x=1&x=2"),
    "repeated under an escaped name": Ask(400, GOOD + b"&client%5Fid=bot"),
    "in the query": Ask(400, path="/token?x=1"),
    "all in the query": Ask(400, b"", path=f"/token?{GOOD.decode()}"),
    "client_id missing": Ask(400, GRANT),
    "client_id empty": Ask(400, GRANT + b"&client_id="),
    "grant_type missing": Ask(400, b"client_id=bot"),
    "grant_type empty": Ask(400, b"client_id=bot&grant_type="),
    "empty body": Ask(400, b""),
    "invalid UTF-8": Ask(400, GOOD + b"&scope=%ff"),
    "raw octets above ASCII that are no UTF-8": Ask(400, GOOD + b"&scope=\xff"),
    "surrogate": Ask(400, GOOD + b"&scope=%ed%a0%80"),
    "overlong": Ask(400, GOOD + b"&scope=%c0%af"),
    "broken escape": Ask(400, GOOD + b"&scope=%4"),
    "escape of no hexadecimal": Ask(400, GOOD + b"&scope=%zz"),
    "NUL": Ask(400, GOOD + b"&scope=%00"),
    "line feed": Ask(400, GRANT + b"&client_id=bot%0a"),
    "hundred and one fields": Ask(400, GOOD + b"".join(b"&a%d=" % n for n in range(99))),
    "thousands of separators": Ask(400, b"&" * 60_000),
    "a semicolon is no separator": Ask(400, GRANT + b";client_id=bot"),
    # content
    "JSON": Ask(400, json.dumps({"client_id": "bot"}).encode(), content_type="application/json"),
    "JSON called a form": Ask(400, b'{"client_id":"bot"}'),
    "multipart": Ask(400, content_type="multipart/form-data; boundary=x"),
    "no content type": Ask(400, content_type=None),
    "another charset": Ask(400, content_type=f"{FORM}; charset=utf-16"),
    "two content types": Ask(400, headers=(HOST, f"Content-Type: {FORM}")),
    "body of 64 KiB and one": Ask(413, b"x" * 65_537),
    "body of 5 MB": Ask(413, b"x" * 5_000_000),
    "header of 5 MB": Ask(431, headers=(HOST, "X: " + "y" * 5_000_000)),
    "line of 5 MB": Ask(431, path="/token?" + "y" * 5_000_000),
    # grant, scope, resource
    "unknown grant": Ask(400, b"grant_type=password&client_id=bot", "unsupported_grant_type"),
    "grant in capitals": Ask(
        400, b"grant_type=CLIENT_CREDENTIALS&client_id=bot", "unsupported_grant_type"
    ),
    "unknown scope": Ask(400, GOOD + b"&scope=admin", "invalid_scope"),
    "scope with a quote": Ask(400, GOOD + b"&scope=%22", "invalid_scope"),
    "scope of two blanks": Ask(400, GOOD + b"&scope=a++b", "invalid_scope"),
    "unknown resource": Ask(400, GOOD + b"&resource=https%3A%2F%2Fx.example", "invalid_target"),
    "two resources": Ask(
        400,
        GOOD + b"&resource=https%3A%2F%2Flocalhost%3A9444&resource=https%3A%2F%2Fx.example",
        "invalid_target",
    ),
    # method, path, host
    "GET": Ask(405, b"", method="GET"),
    "PUT": Ask(405, method="PUT"),
    "DELETE": Ask(405, b"", method="DELETE"),
    "OPTIONS": Ask(405, b"", method="OPTIONS"),
    "double slash": Ask(404, path="//token", error="not_found"),
    "escaped letter": Ask(404, path="/%74oken", error="not_found"),
    "escaped slash": Ask(404, path="/x%2f..%2ftoken", error="not_found"),
    "dot segment": Ask(404, path="/x/../token", error="not_found"),
    "trailing slash": Ask(404, path="/token/", error="not_found"),
    "other case": Ask(404, path="/Token", error="not_found"),
    "unknown path": Ask(404, b"", method="GET", path="/nothing/here", error="not_found"),
    "absolute form": Ask(400, path="https://localhost/token"),
    "two hosts": Ask(400, headers=(HOST, "Host: other")),
    "no host": Ask(400, headers=()),
    "two lengths": Ask(400, headers=(HOST, f"Content-Length: {len(GOOD)}")),
    "length and chunks": Ask(400, headers=(HOST, "Transfer-Encoding: chunked")),
    # a second way to authenticate, and a wrong one
    "Basic beside the certificate": Ask(400, headers=(HOST, BASIC)),
    "secret beside the certificate": Ask(400, GOOD + b"&client_secret=s"),
    "assertion beside the certificate": Ask(400, ASSERTION),
    "Bearer beside the certificate": Ask(400, headers=(HOST, "Authorization: Bearer x")),
    "Basic and secret": Ask(
        400, GOOD + b"&client_secret=s", headers=(HOST, BASIC), certificate=False
    ),
    "Basic alone": Ask(401, headers=(HOST, BASIC), certificate=False, error="invalid_client"),
    "secret alone": Ask(401, GOOD + b"&client_secret=s", "invalid_client", certificate=False),
    "assertion alone": Ask(401, ASSERTION, "invalid_client", certificate=False),
}

ACCEPTED: dict[str, Ask] = {
    "plain": Ask(200),
    "charset UTF-8": Ask(200, content_type=f'{FORM};charset="UTF-8"'),
    "media type in capitals": Ask(200, content_type=FORM.upper()),
    "escaped name and value": Ask(200, b"grant%5Ftype=client%5Fcredentials&client_id=%62ot"),
    "empty values are absent": Ask(200, GOOD + b"&scope=&resource=&x=&"),
    "unknown parameter": Ask(200, GOOD + b"&audience=x"),
    "hundred fields": Ask(200, GOOD + b"".join(b"&a%d=" % n for n in range(98))),
    "the default resource by name": Ask(200, GOOD + b"&resource=https%3A%2F%2Flocalhost%3A9444"),
}


@contextlib.contextmanager
def connected(server: Running, *, certificate: bool) -> Iterator[ssl.SSLSocket]:
    """A connection to the main listener, with bot's certificate or with none."""
    context = server.tls(server.file("bot.crt") if certificate else None)
    with (
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        yield wrapped


def answer(server: Running, ask: Ask) -> Response:
    """The one answer to one request, whose sending the server may cut short."""
    with connected(server, certificate=ask.certificate) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(ask.octets())
        return Reader(connection).response()


@pytest.mark.parametrize("row", ROWS)
def test_refused(server: Running, row: str) -> None:
    """The code and status of the RFC, JSON, never cached, a constant text, nothing echoed."""
    ask = ROWS[row]
    response = answer(server, ask)
    members = response.json()
    assert (response.status, members["error"]) == (ask.status, ask.error)
    assert members["error_description"] in DESCRIPTIONS
    assert set(members) <= {"error", "error_description", "error_ref"}
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    assert "www-authenticate" not in response.headers
    if ask.status == 405:
        assert response.headers["allow"] == "POST"
    if ref := members.get("error_ref"):
        assert ledger.reason(server, ref)


@pytest.mark.parametrize("row", ACCEPTED)
def test_accepted(server: Running, row: str) -> None:
    """The control: the same octets without the fault, and what RFC 6749 lets a client vary."""
    response = answer(server, ACCEPTED[row])
    assert response.status == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    assert tokens.read(response.json()["access_token"])["client_id"] == "bot"


def test_head_is_refused_without_a_body(server: Running) -> None:
    """HEAD is GET without its body, and there is no GET."""
    with connected(server, certificate=True) as connection:
        connection.sendall(b"HEAD /token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = Reader(connection).rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert body == b""


LOOK_ALIKES = (
    "Client-Cert",
    "Client_Cert",
    "Client-Cert-Chain",
    "X-SSL-Cert",
    "X-Client-Cert",
    "X-SSL-Client-Cert",
    "X-Forwarded-Client-Cert",
    "X-Amzn-Mtls-Clientcert",
    "X-ARR-ClientCert",
    "SSL_CLIENT_CERT",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "X-Remote-User",
)


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_certificate_in_a_header_is_no_certificate(server: Running, name: str) -> None:
    """Whatever proxies call it: without TLS proof it is 401, and with it the header changes nothing."""
    pem = server.file("bot.crt").read_text()
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()
    for value in (f":{der}:", der, pem.replace("\n", "%0A"), 'Hash=00;Cert="x";URI=spiffe://x/bot'):
        header = (HOST, f"{name}: {value}", "X-Client-Verify: SUCCESS")
        refused = answer(server, Ask(401, headers=header, certificate=False))
        assert refused.status == 401
        assert ledger.reason(server, refused.json()["error_ref"]) == "no_certificate"
    stranger = Ask(200, headers=(HOST, f"{name}: :AAAA:"))
    with_tls = tokens.read(answer(server, stranger).json()["access_token"])
    plain = tokens.read(answer(server, Ask(200)).json()["access_token"])
    assert with_tls["cnf"] == plain["cnf"]


def test_an_error_in_between_leaves_the_connection_usable(server: Running) -> None:
    """A refusal by the endpoint ends the request, not the connection."""
    with connected(server, certificate=True) as connection:
        reader = Reader(connection)
        for ask in (Ask(200), ROWS["unknown scope"], ROWS["unknown path"], Ask(200)):
            connection.sendall(ask.octets())
            assert reader.response().status == ask.status


def test_pages_for_people_and_probes(server: Running) -> None:
    """The authorization endpoint says that login is off; liveness and readiness answer."""
    with server.client(None) as http:
        page = http.get(f"{server.issuer}/authorize?redirect_uri=https://evil.example&state=<x>")
        assert page.status_code == 400
        assert "location" not in page.headers
        assert "evil" not in page.text
        assert http.get(f"{server.issuer}/livez").json() == {"status": "live"}
        assert http.get(f"{server.issuer}/readyz").json() == {"status": "ready"}
