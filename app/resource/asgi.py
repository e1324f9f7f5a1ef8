"""`Guard`: an ASGI application that lets only holders through to another one.

Guarantees that the application behind it sees a request only after `Verifier` accepted it, with
the outcome in ``scope["state"]["certbound.token"]`` and in `current`, and that a session of an MCP
server behind it stays with whom it was opened by. WebSockets are judged by their opening request.
It serves the resource's metadata (RFC 9728) itself, to everybody.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any

from app.errors import Refused
from app.resource import bearer, mcp_user, metadata
from app.resource.accepted import Accepted
from app.resource.bearer import Sent
from app.resource.certificate import UNKNOWN, Connection, Presented, Source
from app.resource.challenge import Rejected, render, scope_names
from app.resource.metadata import ResourceMetadata
from app.resource.verifier import Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

STATE = "certbound.token"
GUARD = "certbound.guard"

current: ContextVar[Accepted | None] = ContextVar("certbound.token", default=None)
"""The request being answered, where code has no scope at hand. None: nothing was let through."""
certificate: ContextVar[Presented | None] = ContextVar("certbound.certificate", default=None)
"""The certificate of the request being answered. None: nobody has looked, so trust nothing."""


class Certificates:
    """An ASGI application that only looks at the certificate, for a verifier further inside."""

    def __init__(self, app: App, source: Source | None = None) -> None:
        self._app = app
        self._source = source or Connection()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI. A certificate that cannot be told is none, and known to be none."""
        if _is_about_no_request(scope):
            await self._app(scope, receive, send)
            return
        try:
            presented = self._source(scope)
        except Refused:
            presented = UNKNOWN
        token = certificate.set(presented)
        try:
            await self._app(scope, receive, send)
        finally:
            certificate.reset(token)


class Guard:
    """Wraps `app`: ``app = Guard(app, verifier)``."""

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        scopes: Iterable[str] = (),
        scopes_supported: Iterable[str] = (),
        name: str | None = None,
        source: Source | None = None,
    ) -> None:
        """`scopes`: what every request needs. `scopes_supported`, `name`: for the metadata.

        `source` tells the caller's certificate; the default is the connection's own.
        An audience that is no https URL has no metadata.

        Raises:
            ValueError: a scope that is none.

        """
        self._app = app
        self.verifier = verifier
        self._scopes = scope_names(scopes)
        self._source = source or Connection()
        supported = scope_names(scopes_supported) or self._scopes
        self._metadata = metadata.of(verifier, supported, name)

    @property
    def metadata(self) -> ResourceMetadata | None:
        """What it publishes."""
        return self._metadata

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if _is_about_no_request(scope):
            await self._app(scope, receive, send)
            return
        if self._metadata is not None and scope["path"] == self._metadata.path:
            await _publish(self._metadata, scope, send)
            return
        try:
            accepted = await self._judge(scope)
        except Rejected as rejected:
            await self._refuse(rejected, scope, send)
            return
        inner = {
            **scope,
            **mcp_user.scope_members(bearer.token(sent(scope)), accepted, self.verifier.audience),
            "state": {**(scope.get("state") or {}), STATE: accepted, GUARD: self},
        }
        tokens = current.set(accepted), certificate.set(accepted.presented)
        try:
            await self._app(inner, receive, send)
        finally:
            current.reset(tokens[0])
            certificate.reset(tokens[1])

    async def _judge(self, scope: Message) -> Accepted:
        try:
            presented = self._source(scope)
        except Refused as refused:
            self.verifier.refuse(refused, UNKNOWN)
        return await self.verifier.verify_async(sent(scope), presented, self._scopes)

    def response(self, rejected: Rejected) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a refusal, for what sends its own responses."""
        refusal = render(rejected, self._metadata.url if self._metadata else None)
        return refusal.status, dict(refusal.headers), refusal.body

    async def _refuse(self, rejected: Rejected, scope: Message, send: Send) -> None:
        if scope["type"] == "websocket":
            # Before it is accepted, a closed WebSocket is answered with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        status, headers, body = self.response(rejected)
        await _send(send, status, headers, body if scope["method"] != "HEAD" else b"")


def _is_about_no_request(scope: Message) -> bool:
    """Whether this is start-up and shutdown, which nobody outside causes.

    Raises:
        ValueError: a kind of request that is judged by nobody here.

    """
    if scope["type"] not in ("http", "websocket", "lifespan"):
        raise ValueError("only http and websocket requests are let through a guard")
    return bool(scope["type"] == "lifespan")


def sent(scope: Message) -> Sent:
    """The parts of an ASGI request that may hold a token."""
    values = tuple(value for name, value in scope["headers"] if name.lower() == b"authorization")
    return Sent(values, scope.get("query_string", b""))


async def _publish(document: ResourceMetadata, scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    if scope["method"] not in ("GET", "HEAD"):
        await _send(send, 405, {"allow": "GET, HEAD", "content-length": "0"}, b"")
        return
    headers = {
        "content-type": "application/json",
        "content-length": str(len(document.body)),
        "cache-control": f"public, max-age={metadata.MAX_AGE}",
        "access-control-allow-origin": "*",  # agents in browsers read it before they have a token
    }
    await _send(send, 200, headers, document.body if scope["method"] == "GET" else b"")


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
