"""One token, five callers, five kinds of API, over real TLS: who gets in, and what is written down.

The token is always the same genuine one. What differs is the certificate of the connection it
comes on, and what stands behind: the guard for ASGI and for WSGI, FastAPI, an MCP server of the
official SDK, and nginx that asks certbound (`/forward-auth`).
"""

import json
import shutil
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx2
import pytest
from fastapi import FastAPI
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

from app.resource import Certificates, Decision, Guard, Verifier
from app.resource.asgi import App
from app.resource.mcp import BoundTokenVerifier
from app.resource.wsgi import Environ, StartResponse, WsgiGuard, environ_certificate
from tests.kit import ledger, tokens
from tests.kit.certs import Pair, pki
from tests.kit.issuing import issue, key_of
from tests.kit.nginx import PROGRAM, WANTING, nginx
from tests.kit.running import Running
from tests.kit.server import serving
from tests.resource.desk import tell

CALLERS = ("right", "other", "none", "expired", "rotated")
RESOURCE = tokens.DEFAULT_RESOURCE
CHALLENGE = 'Bearer error="invalid_token"'
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello","arguments":{}}}'
VERDICTS = {
    "right": "holder",
    "other": "other_certificate",
    "none": "no_certificate",
    "expired": "other_certificate",
    "rotated": "other_certificate",
}


@dataclass(frozen=True)
class Theft:
    """A token of the client ``stolen``, and the certificates it is tried with."""

    server: Running
    token: str

    def certificate(self, caller: str) -> Path:
        """The file of a caller."""
        return self.server.file(f"stolen-{caller}.crt")


@dataclass(frozen=True)
class Record:
    """What was written down of one request, wherever that is."""

    accepted: bool
    verdict: str
    termination: str
    bound_to: str | None
    presented: str | None
    jti: str | None


@dataclass
class Api:
    """An API that is up, and what it wrote down."""

    port: int
    path: str = "/"
    body: str | None = None
    decisions: list[Decision] = field(default_factory=list)
    home: Path | None = None
    """Where the audit is that records in the place of `decisions`."""
    expired: Literal["a verdict", "an alert", 400] = "a verdict"
    """What a certificate that has ended meets: the guard, or TLS that judges dates itself."""

    @property
    def records(self) -> list[Record]:
        """In the order they were made."""
        if self.home is None:
            return [_of_decision(each) for each in self.decisions]
        bodies = [json.loads(row.body) for row in ledger.entries(self.home)]
        return [_of_entry(each) for each in bodies if each["event"] == "token.presented"]


def _of_decision(made: Decision) -> Record:
    return Record(
        made.accepted,
        made.verdict.value,
        made.termination,
        made.bound_to,
        made.thumbprint,
        made.jti,
    )


def _of_entry(body: dict[str, Any]) -> Record:
    assert body["resource"] == RESOURCE
    seen = body.get("certificate", {"thumbprint": None, "termination": body["reporter"]})
    return Record(
        body["decision"] == "accepted",
        body["verdict"],
        seen["termination"],
        body["bound_to"],
        seen["thumbprint"],
        body["jti"],
    )


@pytest.fixture(scope="module")
def theft(server: Running) -> Theft:
    """The client, its token, and everybody's certificates, all named ``CN=stolen`` but the thief's."""
    folder = server.home / "certs"
    _keep(folder, issue(folder, "stolen"), "right")
    file = str(server.file("stolen-right.crt"))
    server.certbound("client", "add", "stolen", "--method", "tls_client_auth", "--cert", file)
    key = key_of(server.file("stolen-right.crt"))
    _keep(folder, issue(folder, "stolen", key=key), "rotated")
    _keep(folder, issue(folder, "stolen", key=key, seconds=-30), "expired")
    _keep(folder, issue(folder, "thief-of-it"), "other")
    answer = tokens.ask_as(server, "stolen-right", "stolen")
    return Theft(server, tokens.issued(answer))


def _keep(folder: Path, made: Path, caller: str) -> None:
    for suffix in (".crt", ".key"):
        shutil.copy(made.with_suffix(suffix), folder / f"stolen-{caller}{suffix}")


def _verifier(theft: Theft, api: Api, audience: str = RESOURCE) -> Verifier:
    ca_file = theft.server.file("ca.crt")
    issuer = theft.server.issuer
    return Verifier(issuer, audience, ca_file=ca_file, on_decision=api.decisions.append)


@contextmanager
def _asgi(theft: Theft, _: Path) -> Iterator[Api]:
    api = Api(0)
    yield from _served(theft, api, Guard(tell, _verifier(theft, api)))


@contextmanager
def _fastapi(theft: Theft, _: Path) -> Iterator[Api]:
    api, inner = Api(0), FastAPI()

    @inner.get("/")
    def hello() -> str:
        return "hello"

    yield from _served(theft, api, Guard(inner, _verifier(theft, api)))


@contextmanager
def _mcp(theft: Theft, _: Path) -> Iterator[Api]:
    api = Api(0, "/mcp", CALL)
    mcp = MCPServer(
        "files",
        token_verifier=BoundTokenVerifier(_verifier(theft, api)),
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(theft.server.issuer),
            resource_server_url=AnyHttpUrl(RESOURCE),
            validate_token_resource=True,
        ),
    )

    @mcp.tool()
    def hello() -> str:
        """Answer."""
        return "hello"

    inner: Any = mcp.streamable_http_app(json_response=True, stateless_http=True)
    yield from _served(theft, api, Certificates(inner))


def _served(theft: Theft, api: Api, app: App) -> Iterator[Api]:
    """On the house's own listener, with the certificate of the development CA."""
    file = theft.server.file("server.crt")
    pair: Pair = replace(pki().server, certificate_file=file, key_file=file.with_suffix(".key"))
    with serving(app, server=pair) as listening:
        api.port = listening.port
        yield api


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A connection that ended in its handshake is nobody's surprise here."""


class _Handler(WSGIRequestHandler):
    """What mod_ssl does: the certificate of the connection goes into the environ."""

    def get_environ(self) -> Environ:
        der = self.connection.getpeercert(binary_form=True)
        found = "" if der is None else ssl.DER_cert_to_PEM_cert(der)
        return {**super().get_environ(), "SSL_CLIENT_CERT": found}

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _wsgi(theft: Theft, _: Path) -> Iterator[Api]:
    def inner(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    api = Api(0, expired="an alert")  # of the standard library's TLS
    guard: Any = WsgiGuard(inner, _verifier(theft, api), environ_certificate())
    listening = make_server("127.0.0.1", 0, guard, _Threads, _Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=theft.server.file("ca.crt"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_cert_chain(theft.server.file("server.crt"), theft.server.file("server.key"))
    listening.socket = tls.wrap_socket(listening.socket, server_side=True)
    api.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, name="wsgi")
    thread.start()
    try:
        yield api
    finally:
        listening.shutdown()
        thread.join(20)
        listening.server_close()


@contextmanager
def _nginx(theft: Theft, folder: Path) -> Iterator[Api]:
    if PROGRAM is None:
        pytest.skip(WANTING)
    server = theft.server
    issue(server.home / "certs", "matrix-edge")
    file = str(server.file("matrix-edge.crt"))
    options = ("--header", "nginx", "--resource", RESOURCE)
    server.certbound("proxy", "add", "matrix-edge", file, *options)
    with nginx(server, folder, "matrix-edge", _without_scope) as started:
        yield Api(started.port, home=server.home, expired=400)
    server.certbound("proxy", "remove", "matrix-edge")


def _without_scope(text: str) -> str:
    assert "?scope=api:read" in text
    return text.replace("?scope=api:read", "")


APIS = {"asgi": _asgi, "wsgi": _wsgi, "fastapi": _fastapi, "mcp": _mcp, "nginx": _nginx}


@pytest.fixture(scope="module", params=APIS)
def api(
    request: pytest.FixtureRequest, theft: Theft, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """Each API once."""
    with APIS[request.param](theft, tmp_path_factory.mktemp("matrix")) as started:
        yield started


def ask(theft: Theft, api: Api, caller: str, token: str | None) -> httpx2.Response:
    """One request on a new connection."""
    tls = ssl.create_default_context(cafile=theft.server.file("ca.crt"))
    if caller != "none":
        file = theft.certificate(caller)
        tls.load_cert_chain(file, file.with_suffix(".key"))
    headers = {"Accept": "application/json, text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with httpx2.Client(verify=tls, trust_env=False, timeout=60) as http:
        url = f"https://localhost:{api.port}{api.path}"
        if api.body is None:
            return http.get(url, headers=headers)
        headers["Content-Type"] = "application/json"
        return http.post(url, headers=headers, content=api.body)


@pytest.mark.parametrize("caller", CALLERS)
def test_the_certificate_decides(theft: Theft, api: Api, caller: str) -> None:
    """The holder gets in and nobody else; the record names token, binding and certificate."""
    before = len(api.records)
    if caller == "expired" and api.expired != "a verdict":
        _refused_by_tls(theft, api)
        assert len(api.records) == before
        return
    answer = ask(theft, api, caller, theft.token)
    claims = tokens.read(theft.token)
    if caller == "right":
        assert answer.status_code == 200, answer.text
    else:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith(CHALLENGE)
        assert claims["cnf"]["x5t#S256"] not in str(answer.headers) + answer.text
    (record,) = api.records[before:]
    assert (record.accepted, record.verdict) == (caller == "right", VERDICTS[caller])
    assert record.termination == ("direct" if api.home is None else "proxy:matrix-edge")
    assert record.bound_to == claims["cnf"]["x5t#S256"]
    assert (record.presented is None) == (caller == "none")
    assert (record.presented == record.bound_to) == (caller == "right")
    assert record.jti == claims["jti"]


def _refused_by_tls(theft: Theft, api: Api) -> None:
    """Before the token was looked at."""
    if api.expired == "an alert":
        with pytest.raises(httpx2.TransportError, match=r"(?i)expired"):
            ask(theft, api, "expired", theft.token)
    else:
        assert ask(theft, api, "expired", theft.token).status_code == api.expired


@pytest.mark.parametrize("caller", ["right", "none"])
def test_without_the_token_a_certificate_opens_nothing(theft: Theft, api: Api, caller: str) -> None:
    """401, the holder's own certificate or not."""
    answer = ask(theft, api, caller, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
