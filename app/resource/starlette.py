"""For Starlette and FastAPI behind a `Guard`: the token of a request, and scopes per route.

A FastAPI dependency is a function of the request; Starlette calls the same function itself.
"""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from app.resource.accepted import Accepted
from app.resource.asgi import GUARD, STATE, Guard
from app.resource.challenge import Rejected, scope_names

Dependency = Callable[[HTTPConnection], Accepted]


def requires(*scopes: str) -> Dependency:
    """A function that gives the accepted token of a request, if it has all of `scopes`.

    FastAPI: ``token: Annotated[Accepted, Depends(requires("files:write"))]``. Starlette:
    ``token = requires("files:write")(request)``, best made once outside the endpoint. It raises
    HTTPException: 403 where a scope is wanting, 500 where no `Guard` is in front.

    Raises:
        ValueError: a scope that is none.

    """
    needed = scope_names(scopes)

    def token(connection: HTTPConnection) -> Accepted:
        state = connection.scope.get("state") or {}
        accepted, guard = state.get(STATE), state.get(GUARD)
        if not isinstance(accepted, Accepted) or not isinstance(guard, Guard):
            raise HTTPException(500, "This application is not behind its guard.")
        try:
            guard.verifier.require(accepted, needed)
        except Rejected as rejected:
            status, headers, _ = guard.response(rejected)
            kept = {k: v for k, v in headers.items() if k in ("www-authenticate", "cache-control")}
            raise HTTPException(status, rejected.description, headers=kept) from rejected
        return accepted

    return token
