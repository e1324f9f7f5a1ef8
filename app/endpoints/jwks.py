"""The JWK Set: next, current and retired signing keys (RFC 7517)."""

from starlette.requests import Request
from starlette.responses import Response

from app.endpoints.door import Door
from app.web.respond import public_document

MAX_AGE = 300
"""Seconds. A new key is published far longer than this before its first use."""


async def jwks(door: Door, request: Request) -> Response:
    """The public halves of the signing keys."""
    keys = door.snapshots.current.keys
    return public_document(
        keys.jwks,
        etag=keys.etag,
        max_age=MAX_AGE,
        if_none_match=request.headers.get("if-none-match"),
        media_type="application/jwk-set+json",
    )
