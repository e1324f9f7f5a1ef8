"""The kit inside other people's frameworks: Starlette, FastAPI, WSGI, MCP."""

import contextlib
import io
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.resource import Accepted, Certificates, Guard, Verdict, current
from app.resource.asgi import App
from app.resource.mcp import BoundTokenVerifier
from app.resource.starlette import requires
from app.resource.testing import Caller, Certificate, Response
from app.resource.wsgi import Environ, StartResponse, WsgiGuard, environ_certificate
from tests.resource.desk import SCOPE, Desk

WRITE = "files:write"
writing = requires(WRITE)


async def _write(request: Request) -> PlainTextResponse:
    return PlainTextResponse(writing(request).client_id)


def _starlette() -> App:
    return Starlette(routes=[Route("/", _write)])


def _fastapi() -> App:
    api = FastAPI()

    @api.get("/")
    def write(token: Annotated[Accepted, Depends(requires(WRITE))]) -> str:
        return token.client_id

    return api


@pytest.mark.parametrize("inner", [_starlette, _fastapi])
def test_a_route_can_want_more(desk: Desk, inner: Any) -> None:
    """403 with the challenge of the guard where the route's scope is wanting."""
    app = Guard(inner(), desk.verifier, scopes=[SCOPE])
    caller = Caller(app, desk.bot)
    answer = caller.get("/", desk.token(scope=f"{SCOPE} {WRITE}"))
    assert (answer.status, answer.body.strip(b'"')) == (200, b"bot")
    answer = caller.get("/", desk.token())
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert f'scope="{WRITE}"' in answer.headers["www-authenticate"]
    assert desk.last.verdict is Verdict.INSUFFICIENT_SCOPE
    assert Caller(app, desk.thief).get("/", desk.token(scope=WRITE)).status == 401


@pytest.mark.parametrize("inner", [_starlette, _fastapi])
def test_without_a_guard_a_route_is_closed(desk: Desk, inner: Any) -> None:
    """Whoever forgets the guard gets 500 for everybody, not an open door."""
    assert Caller(inner(), desk.bot).get("/", desk.token(scope=WRITE)).status == 500


@pytest.mark.parametrize("around", [Guard, lambda app, _: Certificates(app)])
@pytest.mark.parametrize("kind", ["webtransport", "HTTP", ""])
def test_only_requests_that_are_judged_reach_the_application(
    desk: Desk, around: Any, kind: str
) -> None:
    """A server that speaks more than HTTP opens no way around; start-up and shutdown pass."""
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    outer = around(app, desk.verifier)
    scope = {"type": kind, "path": "/", "headers": []}
    with pytest.raises(ValueError, match="let through a guard"):
        anyio.run(outer, scope, None, None)
    anyio.run(outer, {"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


def _wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    accepted = current.get()
    assert accepted is not None
    assert environ["certbound.token"] is accepted
    start_response("200 OK", [])
    return [accepted.client_id.encode()]


def ask_wsgi(guard: WsgiGuard, token: str | None, path: str = "/", **environ: Any) -> Response:
    """A GET by way of PEP 3333."""
    answered: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answered.extend((status, headers))

    request = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "wsgi.input": io.BytesIO(),
        **environ,
    }
    if token is not None:
        request["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    body = b"".join(guard(request, start_response))
    headers = {name.lower(): value for name, value in answered[1]}
    return Response(int(answered[0].split()[0]), headers, body)


def test_wsgi_tells_holder_from_thief(desk: Desk) -> None:
    """The certificate comes from the variable that the deployer named; without it nobody gets in."""
    guard = WsgiGuard(_wsgi, desk.verifier, environ_certificate(), scopes=[SCOPE])
    token = desk.token()
    for value, status, verdict in (
        (desk.bot.pem.decode(), 200, Verdict.HOLDER),
        (desk.thief.pem.decode(), 401, Verdict.OTHER_CERTIFICATE),
        ("", 401, Verdict.NO_CERTIFICATE),
        ("(null)", 401, Verdict.NO_CERTIFICATE),
        ("no PEM", 400, Verdict.INVALID),
        ("x" * 100_000, 400, Verdict.INVALID),
        (desk.bot.pem.decode() + desk.thief.pem.decode(), 400, Verdict.INVALID),
        (desk.bot.der, 400, Verdict.INVALID),
        ("\u00e9", 400, Verdict.INVALID),
    ):
        assert ask_wsgi(guard, token, SSL_CLIENT_CERT=value).status == status
        assert desk.last.verdict is verdict
    pem = desk.bot.pem.decode()
    assert ask_wsgi(guard, token, HTTP_SSL_CLIENT_CERT=pem).status == 401
    assert desk.last.termination == "unknown"
    assert ask_wsgi(guard, None, SSL_CLIENT_CERT=pem).status == 401
    assert ask_wsgi(guard, token, SSL_CLIENT_CERT=pem, QUERY_STRING="access_token=x").status == 400
    few = desk.token(scope="")
    assert ask_wsgi(guard, few, SSL_CLIENT_CERT=pem).status == 403
    assert current.get() is None


def test_wsgi_has_the_token_until_the_answer_is_closed(desk: Desk) -> None:
    """A generator runs when the server iterates it; each request has its own token all the while."""
    seen: list[str | None] = []

    def whose() -> str | None:
        accepted = current.get()
        return None if accepted is None else accepted.client_id

    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            start_response("200 OK", [])
            seen.append(whose())
            yield b"one"
            seen.append(whose())
            yield b"two"
        finally:
            seen.append(whose())

    guard = WsgiGuard(app, desk.verifier, environ_certificate())

    def begin(who: Certificate, name: str) -> Any:
        request = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/",
            "SSL_CLIENT_CERT": who.pem.decode(),
            "HTTP_AUTHORIZATION": f"Bearer {desk.token(who, client_id=name, sub=name)}",
        }
        return guard(request, lambda *_: None)

    first, second = begin(desk.bot, "bot"), begin(desk.thief, "other")
    assert [next(first), next(second), next(first)] == [b"one", b"one", b"two"]
    first.close()
    assert list(second) == [b"two"]
    second.close()
    assert seen == ["bot", "other", "bot", "bot", "other", "other"]
    assert current.get() is None


@pytest.mark.parametrize("name", ["QUERY_STRING", "HTTP_AUTHORIZATION"])
def test_wsgi_takes_text_that_no_server_should_hand_on(desk: Desk, name: str) -> None:
    """PEP 3333 wants Latin-1; anything else is refused as what it is, not with a crash."""
    guard = WsgiGuard(_wsgi, desk.verifier, environ_certificate())
    answer = ask_wsgi(guard, None, SSL_CLIENT_CERT=desk.bot.pem.decode(), **{name: "Bearer \u20ac"})
    assert answer.status == 401


def test_wsgi_serves_the_metadata(desk: Desk) -> None:
    """As its ASGI sister does."""
    guard = WsgiGuard(_wsgi, desk.verifier, environ_certificate(), scopes=[SCOPE])
    answer = ask_wsgi(guard, None, "/.well-known/oauth-protected-resource")
    assert answer.json()["tls_client_certificate_bound_access_tokens"] is True
    assert "resource_metadata=" in ask_wsgi(guard, None).headers["www-authenticate"]


@pytest.mark.parametrize("name", ["HTTP_SSL_CLIENT_CERT", "http_x_client_cert"])
def test_a_request_header_is_no_source(name: str) -> None:
    """Any client could fill it."""
    with pytest.raises(ValueError, match="request header"):
        environ_certificate(name)


def _mcp(desk: Desk, *, certificates: bool = True) -> tuple[MCPServer, App]:
    server = MCPServer(
        "files",
        token_verifier=BoundTokenVerifier(desk.verifier),
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(desk.issuer.url),
            resource_server_url=AnyHttpUrl(desk.issuer.audience),
            validate_token_resource=True,
            required_scopes=[SCOPE],
        ),
    )

    @server.tool()
    def whose() -> str:
        """Say whose token it is."""
        token = get_access_token()
        return token.client_id if token else "nobody's"

    inner: Any = server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        host="0.0.0.0",  # noqa: S104  # nothing listens
    )
    return server, Certificates(inner) if certificates else inner


@contextlib.asynccontextmanager
async def _running(server: MCPServer) -> AsyncIterator[None]:
    async with server.session_manager.run():
        yield


def call_tool(server: MCPServer, app: App, certificate: Certificate | None, token: str) -> Response:
    """Call the tool as an MCP client does, in one request."""
    call = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whose","arguments":{}}}'
    )
    headers = [
        (b"host", b"api.test"),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", b"2025-06-18"),
        (b"authorization", f"Bearer {token}".encode()),
    ]

    async def main() -> Response:
        async with _running(server):
            return await Caller(app, certificate).call("POST", "/mcp", headers, call)

    return anyio.run(main)


def test_an_mcp_server_tells_holder_from_thief(desk: Desk) -> None:
    """The SDK's verifier learns the certificate from the middleware around it."""
    token = desk.token()
    answer = call_tool(*_mcp(desk), desk.bot, token)
    assert answer.status == 200, answer.body
    assert answer.json()["result"]["content"][0]["text"] == "bot"
    for certificate in (desk.thief, None):
        assert call_tool(*_mcp(desk), certificate, token).status == 401
    assert desk.last.verdict is Verdict.NO_CERTIFICATE
    assert call_tool(*_mcp(desk), desk.bot, desk.token(scope="")).status == 403
    assert call_tool(*_mcp(desk), desk.bot, "x\u00e9").status == 401


def test_an_mcp_server_without_the_middleware_is_closed(desk: Desk) -> None:
    """Nobody looked at the certificate, so nobody gets in, the holder neither."""
    assert call_tool(*_mcp(desk, certificates=False), desk.bot, desk.token()).status == 401
    assert not desk.decisions


def _stateful(desk: Desk) -> tuple[MCPServer, App]:
    """A server that remembers its sessions and knows of no tokens, behind a guard."""
    server = MCPServer("files")
    inner: Any = server.streamable_http_app(json_response=True, host="0.0.0.0")  # noqa: S104  # nothing listens
    return server, Guard(inner, desk.verifier, scopes=[SCOPE])


INITIALIZE = b"""{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",
"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"""
PING = b'{"jsonrpc":"2.0","id":2,"method":"ping"}'


def test_a_session_behind_a_guard_stays_with_its_client(desk: Desk) -> None:
    """Another client with a good token of its own can neither use nor end it; 404 as the SDK does."""
    server, app = _stateful(desk)
    tokens = {
        desk.bot.thumbprint: desk.token(),
        desk.thief.thumbprint: desk.token(desk.thief, client_id="thief", sub="thief"),
    }

    async def ask(who: Certificate, method: str, body: bytes, session: str = "") -> Response:
        headers = [
            (b"host", b"api.test"),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"mcp-protocol-version", b"2025-06-18"),
            (b"authorization", f"Bearer {tokens[who.thumbprint]}".encode()),
            *([(b"mcp-session-id", session.encode())] if session else []),
        ]
        return await Caller(app, who).call(method, "/mcp", headers, body)

    async def main() -> list[int]:
        async with _running(server):
            opened = await ask(desk.bot, "POST", INITIALIZE)
            session = opened.headers["mcp-session-id"]
            order = [desk.bot, desk.thief, desk.bot]
            answers = [await ask(who, "POST", PING, session) for who in order]
            answers.append(await ask(desk.thief, "DELETE", b"", session))
            answers.append(await ask(desk.bot, "POST", PING, session))
            return [opened.status, *(each.status for each in answers)]

    assert anyio.run(main) == [200, 200, 404, 200, 404, 200]


def test_a_header_that_nobody_may_send_is_no_certificate_for_mcp(desk: Desk) -> None:
    """`Certificates` refuses nothing itself; what it cannot believe, it takes for none."""
    seen: list[int] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        verifier = BoundTokenVerifier(desk.verifier)
        found = await verifier.verify_token(desk.token())
        seen.append(0 if found is None else 1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    Caller(Certificates(app), desk.bot).request("GET", "/", headers=[("Client-Cert", "::")])
    Caller(Certificates(app), desk.bot).request("GET", "/")
    assert seen == [0, 1]
