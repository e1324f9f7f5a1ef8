"""Authorization server metadata (RFC 8414, RFC 8705 section 3.3, RFC 9701 section 7), computed from the tables.

A method or alias stands here only while it works.
"""

import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.binding import BINDINGS, mtls
from app.clients.methods import METHODS, tls_client_auth
from app.clients.registry import Registry
from app.endpoints.door import Door
from app.grants import GRANTS
from app.web import headers
from app.web.respond import Document

MAX_AGE = 300
"""Seconds a cache may keep the document: as long as the JWK Set."""


async def metadata(door: Door, request: Request) -> Response:
    """The metadata document, or the answer to a browser's preflight for it."""
    if request.method == "OPTIONS":
        return _preflight()
    return door.document("metadata", _published).answer(headers.first(request, b"if-none-match"))


def _published(door: Door, registry: Registry) -> Document:
    body = json.dumps(document(door, registry), indent=2).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Document.of(body, etag=etag, max_age=MAX_AGE, media_type="application/json")


def document(door: Door, registry: Registry) -> dict[str, Any]:
    """The members, in the order RFC 8414 lists them.

    `response_types_supported` is required by RFC 8414 and, like `code_challenge_methods_supported`,
    read by clients before they ask for any grant; `grant_types_supported` says what works
    (docs/divergences.md, RFC 8414).
    """
    members: dict[str, Any] = {"issuer": door.issuer.identifier}
    for route in door.routes:
        if route.metadata is not None:
            members[route.metadata] = door.issuer.url(route.path)
    default = registry.resources.get(door.policy.default_resource)
    if default is not None and default.scopes:
        members["scopes_supported"] = sorted(default.scopes)
    methods = [name for name in METHODS if name != tls_client_auth.NAME or registry.has_anchors()]
    return members | {
        "response_types_supported": ["code"],
        "grant_types_supported": list(GRANTS),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_signing_alg_values_supported": [registry.keys.current.algorithm],
        "code_challenge_methods_supported": ["S256"],
        "tls_client_certificate_bound_access_tokens": mtls.CONFIRMATION in BINDINGS,
        "mtls_endpoint_aliases": {
            route.metadata: door.issuer.mtls_url(route.path)
            for route in door.routes
            if route.metadata is not None and route.mtls_alias
        },
    }


def _preflight() -> Response:
    # Browser-based inspectors add this header; nothing here depends on the origin.
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET",
            "Access-Control-Allow-Headers": "MCP-Protocol-Version",
            "Access-Control-Max-Age": "86400",
        },
    )
