"""The few kinds of answers this server gives."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 section 5.1: on every answer that carries or refuses a credential."""

Head = tuple[tuple[bytes, bytes], ...]
"""Header lines as they go out, but the length."""


class Answer(Response):
    """A response whose header lines were made beforehand: none is spelled or checked again."""

    def __init__(self, status: int, head: Head, body: bytes) -> None:  # its parent would spell them
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [*head, (b"content-length", b"%d" % len(body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": self.body})


def _head(headers: Iterable[tuple[str, str]], media_type: str) -> Head:
    lines = (*headers, ("Content-Type", media_type))
    return tuple((name.lower().encode(), value.encode("latin-1")) for name, value in lines)


_JSON = _head(NO_STORE.items(), "application/json")
_encode = json.JSONEncoder(separators=(",", ":")).encode


def json_response(
    content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON object that no cache may keep."""
    head = _JSON if not headers else _JSON + _head(headers.items(), "application/json")[:-1]
    return Answer(status, head, _encode(content).encode())


@dataclass(frozen=True, slots=True)
class Document:
    """What any cache and any browser origin may read, revalidated by its (quoted) ETag."""

    body: bytes
    etag: str
    head: Head
    unchanged: tuple[tuple[str, str], ...]
    """The headers of the answer to who has it already."""

    @classmethod
    def of(cls, body: bytes, *, etag: str, max_age: int, media_type: str) -> "Document":
        """With all that its answers need."""
        headers = (
            ("Cache-Control", f"public, max-age={max_age}"),
            ("ETag", etag),
            ("Access-Control-Allow-Origin", "*"),
        )
        return cls(body, etag, _head(headers, media_type), headers)

    def answer(self, if_none_match: str | None) -> Response:
        """The document, or 304 for a client that has it."""
        if if_none_match is not None and _matches(if_none_match, self.etag):
            return Response(status_code=304, headers=dict(self.unchanged))
        return Answer(200, self.head, self.body)


def _matches(if_none_match: str, etag: str) -> bool:
    # RFC 9110 section 13.1.2: weak comparison, or any.
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
