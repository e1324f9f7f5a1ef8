"""Requests to a user's ASGI application, as if they came over mutual TLS."""

import asyncio
import json
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from app.resource.asgi import App
from app.resource.testing.certificates import Certificate

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody at the other end of a TLS connection, with a certificate or without."""

    app: App
    certificate: Certificate | None = None

    def get(self, path: str = "/", token: str | None = None) -> Response:
        """A GET, with `token` in the Authorization header."""
        return self.request("GET", path, token)

    def request(
        self,
        method: str,
        path: str,
        token: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Any request. Runs the application on an event loop of its own."""
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        if token is not None:
            raw.append((b"authorization", f"Bearer {token}".encode("latin-1")))
        return asyncio.run(self.call(method, path, raw, body))

    async def call(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> Response:
        """The same on the loop that is running."""
        raw_path, _, query = path.partition("?")
        der = None if self.certificate is None else self.certificate.der
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 443),
            "state": {},
            "extensions": {"tls": {"client_cert": der}},
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        return _response(messages)


def _response(messages: list[Message]) -> Response:
    start = next(each for each in messages if each["type"] == "http.response.start")
    body = b"".join(
        each.get("body", b"") for each in messages if each["type"] == "http.response.body"
    )
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Response(start["status"], headers, body)
