"""The authorization endpoint while interactive login is off.

It stands because clients refuse metadata without it. It reads nothing of the request: no parameter
is echoed and nobody is redirected, since no redirect URI has been checked (RFC 9700 section 4.11).
"""

from starlette.requests import Request
from starlette.responses import Response

from app.endpoints.door import Door
from app.web.respond import NO_STORE

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Interactive login is off</title>
<h1>Interactive login is off</h1>
<p id="message">This authorization server issues tokens to clients that authenticate with a
certificate (grant type client_credentials). It has no sign-in page. Ask the operator of the
application that sent you here to use that grant.</p>
</html>
"""


async def authorize(_door: Door, _request: Request) -> Response:
    """A page for the person who came here; status 400 so that no client takes it for a success."""
    return Response(
        PAGE,
        status_code=400,
        headers={
            **NO_STORE,
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
        media_type="text/html; charset=utf-8",
    )
