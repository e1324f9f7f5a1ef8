"""An API behind `app.resource`, asked over real TLS with tokens of a real server."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import uvicorn

from app.resource import Decision, Guard, Verdict, Verifier
from app.resource.introspection import Introspection
from app.resource.uvicorn import HttpWithCertificate
from tests.kit import ledger, tokens
from tests.kit.certs import pki
from tests.kit.issuing import issue
from tests.kit.running import Running
from tests.kit.server import serving
from tests.resource.desk import Clock, tell

AUDIENCE = tokens.DEFAULT_RESOURCE


class Api:
    """A guarded API, its decisions, and the clock it goes by."""

    def __init__(self, server: Running, **options: Any) -> None:
        self.decisions: list[Decision] = []
        self.now = Clock()
        self.verifier = Verifier(
            server.issuer,
            AUDIENCE,
            ca_file=server.file("ca.crt"),
            on_decision=self.decisions.append,
            **{"now": self.now, **options},
        )
        self.app = Guard(tell, self.verifier)

    @property
    def last(self) -> Decision:
        """The latest decision."""
        return self.decisions[-1]


def ask(
    server: Running, port: int, token: str, name: str | None, ca: str | None = None
) -> httpx2.Response:
    """A request to the API on a new connection, with a client certificate or without."""
    tls = ssl.create_default_context(cafile=ca or str(pki().ca_file))
    if name is not None:
        tls.load_cert_chain(server.file(f"{name}.crt"), server.file(f"{name}.key"))
    with httpx2.Client(verify=tls, trust_env=False, timeout=60) as http:
        return http.get(f"https://localhost:{port}/", headers={"Authorization": f"Bearer {token}"})


def a_client(server: Running, name: str) -> str:
    """Register a client with a certificate of its own; one of its tokens."""
    issue(server.home / "certs", name)
    server.certbound(
        "client",
        "add",
        name,
        "--method",
        "tls_client_auth",
        "--cert",
        str(server.file(f"{name}.crt")),
    )
    return tokens.issued(tokens.ask_as(server, name))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_copied_token_is_worthless_at_the_api(server: Running, loop: Any) -> None:
    """The holder gets in; a thief with a certificate of the same CA does not, nor one without."""
    name = f"guarded-{loop}"
    token, api = a_client(server, name), Api(server)
    issue(server.home / "certs", f"{name}-thief")
    with serving(api.app, loop=loop) as listening:
        assert ask(server, listening.port, token, name).text == name
        for caller, verdict in (
            (f"{name}-thief", Verdict.OTHER_CERTIFICATE),
            (None, Verdict.NO_CERTIFICATE),
        ):
            answer = ask(server, listening.port, token, caller)
            assert answer.status_code == 401
            assert "invalid_token" in answer.headers["www-authenticate"]
            assert (api.last.verdict, api.last.client_id) == (verdict, name)


def test_a_revoked_token_falls_at_the_api(server: Running) -> None:
    """Within the time of its status list, without the API asking about each token."""
    token, api = a_client(server, "guarded-revoked"), Api(server)
    with serving(api.app) as listening:
        assert ask(server, listening.port, token, "guarded-revoked").status_code == 200
        server.certbound("revoke", "token", str(tokens.read(token)["jti"]))
        api.now.ahead = 59
        assert ask(server, listening.port, token, "guarded-revoked").status_code in (200, 401)
        api.now.ahead = 60
        assert ask(server, listening.port, token, "guarded-revoked").status_code == 401
        assert api.last.reason == "token status"


@pytest.fixture
def introspecting(server: Running, request: pytest.FixtureRequest) -> Iterator[Api]:
    """An API that asks the server about each token, as a client of its own."""
    name = f"api-{request.node.name.replace('_', '-')}"[:40]
    issue(server.home / "certs", name)
    certificate = server.file(f"{name}.crt")
    options = ("--method", "tls_client_auth", "--cert", str(certificate), "--serves", AUDIENCE)
    server.certbound("client", "add", name, *options)
    now = Clock()
    asking = Introspection(
        server.issuer,
        AUDIENCE,
        client_id=name,
        certificate=certificate,
        key=certificate.with_suffix(".key"),
        ca_file=server.file("ca.crt"),
        now=now,
    )
    api = Api(server, tokens=asking)
    api.now = now
    yield api
    asking.close()


def test_introspection_tells_holder_from_thief(server: Running, introspecting: Api) -> None:
    """Here and at the server, which writes down whose token came with whose certificate."""
    token, api = a_client(server, "introspected"), introspecting
    issue(server.home / "certs", "introspected-thief")
    with serving(api.app) as listening:
        for _ in range(2):
            assert ask(server, listening.port, token, "introspected").text == "introspected"
            assert ask(server, listening.port, token, "introspected-thief").status_code == 401
            assert ask(server, listening.port, token, None).status_code == 401
        assert ask(server, listening.port, "no-token-of-ours", "introspected").status_code == 401
    assert [each.verdict for each in api.decisions] == [
        *(2 * (Verdict.HOLDER, Verdict.OTHER_CERTIFICATE, Verdict.NO_CERTIFICATE)),
        Verdict.INVALID,
    ]
    jti = tokens.read(token)["jti"]
    entries = [json.loads(row.body) for row in ledger.entries(server.home)]
    told = [e["verdict"] for e in entries if e["event"] == "token.presented" and e["jti"] == jti]
    assert list(dict.fromkeys(told)) == ["holder", "other_certificate", "no_certificate"]


def test_introspection_notices_a_revocation(server: Running, introspecting: Api) -> None:
    """When the answer that was kept has ended."""
    token, api = a_client(server, "introspected-revoked"), introspecting
    with serving(api.app) as listening:
        assert ask(server, listening.port, token, "introspected-revoked").status_code == 200
        server.certbound("revoke", "token", str(tokens.read(token)["jti"]))
        api.now.ahead = 31
        assert ask(server, listening.port, token, "introspected-revoked").status_code == 401


def test_a_resource_that_serves_nobody_learns_nothing(server: Running) -> None:
    """Introspection as a client that may not look: every token is inactive."""
    token = a_client(server, "introspected-blind")
    asking = Introspection(
        server.issuer,
        AUDIENCE,
        client_id="bot",
        certificate=server.file("bot.crt"),
        key=server.file("bot.key"),
        ca_file=server.file("ca.crt"),
    )
    api = Api(server, tokens=asking)
    with serving(api.app) as listening:
        assert ask(server, listening.port, token, "introspected-blind").status_code == 401
    asking.close()


def test_without_its_server_an_api_is_closed(server: Running) -> None:
    """Nobody there, or another one under the name: 503, and the token is not blamed."""
    token = a_client(server, "guarded-alone")
    api = Api(server)
    api.verifier = Verifier(
        f"{server.issuer}/other",
        AUDIENCE,
        ca_file=server.file("ca.crt"),
        on_decision=lambda _: None,
    )
    with serving(Guard(tell, api.verifier)) as listening:
        assert ask(server, listening.port, token, "guarded-alone").status_code == 503


@contextlib.contextmanager
def stock_uvicorn(
    server: Running, app: Any, http: Any, asks: ssl.VerifyMode = ssl.CERT_OPTIONAL
) -> Iterator[int]:
    """Uvicorn as it comes, with the development CA for clients."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=http,
        lifespan="off",
        log_config=None,
        ssl_certfile=str(server.file("server.crt")),
        ssl_keyfile=str(server.file("server.key")),
        ssl_ca_certs=str(server.file("ca.crt")),
        ssl_cert_reqs=asks,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not running.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield listening.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(60)
        listening.close()


def test_stock_uvicorn_with_our_protocol_class(server: Running) -> None:
    """The same verdicts; without the class, or without asking for one, it tells no certificate."""
    token, api = a_client(server, "stock"), Api(server)
    issue(server.home / "certs", "stock-thief")
    ca = str(server.file("ca.crt"))
    with stock_uvicorn(server, api.app, HttpWithCertificate) as port:
        assert ask(server, port, token, "stock", ca).text == "stock"
        assert ask(server, port, token, "stock-thief", ca).status_code == 401
        assert ask(server, port, token, None, ca).status_code == 401
        assert api.last.verdict is Verdict.NO_CERTIFICATE
    for started in (
        stock_uvicorn(server, api.app, "httptools"),
        stock_uvicorn(server, api.app, HttpWithCertificate, ssl.CERT_NONE),
    ):
        with started as port:
            assert ask(server, port, token, "stock", ca).status_code == 401
            assert api.last.termination == "unknown"
