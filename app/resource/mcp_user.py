"""Whom the official MCP SDK (mcp 2) takes a request for: the holder of its token.

Guarantees that a session of a stateful MCP server behind a `Guard` stays with the client, issuer
and subject that opened it: the SDK compares those of ``scope["user"]`` on each request, and
compares nothing where no such user is. Does nothing where no MCP server is loaded.
"""

import sys
from typing import TYPE_CHECKING, Any

from app.resource.accepted import Accepted

if TYPE_CHECKING:
    from mcp.server.auth.provider import AccessToken

_COMPARES = "mcp.server.auth.middleware.bearer_auth"
"""The SDK's module whose users it compares; every HTTP server of the SDK has loaded it."""


def access_token(token: str, accepted: Accepted, audience: str) -> "AccessToken":
    """An accepted token as the SDK wants it."""
    from mcp.server.auth.provider import AccessToken  # noqa: PLC0415  # the SDK is no dependency

    return AccessToken(
        token=token,
        client_id=accepted.client_id,
        scopes=sorted(accepted.scopes),
        expires_at=accepted.facts.expires_at,
        resource=audience,
        subject=accepted.subject,
        claims=dict(accepted.claims),
    )


def scope_members(token: bytes, accepted: Accepted, audience: str) -> dict[str, Any]:
    """What the ASGI scope of an accepted request must say for the SDK: nothing without the SDK."""
    if _COMPARES not in sys.modules:
        return {}
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser  # noqa: PLC0415  # see above
    from starlette.authentication import AuthCredentials  # noqa: PLC0415  # comes with the SDK

    user = AuthenticatedUser(access_token(token.decode("latin-1"), accepted, audience))
    return {"user": user, "auth": AuthCredentials(user.scopes)}
