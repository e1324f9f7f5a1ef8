"""The JWK Set: next, current and retired signing keys (RFC 7517)."""

from starlette.requests import Request
from starlette.responses import Response

from app.clients.registry import Registry
from app.endpoints.door import Door
from app.web import headers
from app.web.respond import Document

MAX_AGE = 300
"""Seconds. A new key is published far longer than this before its first use."""


async def jwks(door: Door, request: Request) -> Response:
    """The public halves of the signing keys."""
    return door.document("jwks", _key_set).answer(headers.first(request, b"if-none-match"))


def _key_set(_door: Door, registry: Registry) -> Document:
    keys = registry.keys
    return Document.of(
        keys.jwks, etag=keys.etag, max_age=MAX_AGE, media_type="application/jwk-set+json"
    )
