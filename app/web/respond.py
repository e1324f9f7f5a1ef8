"""The few kinds of answers this server gives."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 section 5.1: on every answer that carries or refuses a credential."""


def json_response(
    content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON object that no cache may keep."""
    return Response(
        json.dumps(content, separators=(",", ":")).encode(),
        status_code=status,
        headers={**NO_STORE, **(headers or {})},
        media_type="application/json",
    )


def public_document(
    body: bytes, *, etag: str, max_age: int, if_none_match: str | None, media_type: str
) -> Response:
    """A document any cache and any browser origin may read, revalidated by its (quoted) ETag."""
    headers = {
        "Cache-Control": f"public, max-age={max_age}",
        "ETag": etag,
        "Access-Control-Allow-Origin": "*",
    }
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _matches(if_none_match: str, etag: str) -> bool:
    # RFC 9110 section 13.1.2: weak comparison, or any.
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
