"""The only place where an error becomes an answer."""

from starlette.responses import Response

from app.errors import OAuthError
from app.web.respond import NO_STORE, json_response


def render(error: OAuthError, *, ref: str | None = None) -> Response:
    """The answer to `error`: code, constant description, and the reference that explains it.

    Nothing of the finding leaves here. A 401 about a client carries no ``WWW-Authenticate``: a
    certificate has no scheme there, and any other would invite what never succeeds
    (docs/divergences.md, RFC 6749 section 5.2). One about a token does (RFC 6750 section 3).
    """
    body = {"error": error.error, "error_description": error.description}
    if ref is not None:
        body["error_ref"] = ref
    return json_response(body, status=error.status, headers=error.headers)


def token_wanted() -> Response:
    """The answer where no token came: a challenge without an error (RFC 6750 section 3.1)."""
    return Response(status_code=401, headers={**NO_STORE, "WWW-Authenticate": "Bearer"})
