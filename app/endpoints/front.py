"""What stands before the house until it is open: the database was not there at the start.

Guarantees an answer to everybody: alive, not ready, and 503 with `Retry-After` to any request.
Nothing is recorded; nothing was decided.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import TemporarilyUnavailable
from app.web.errors import render
from app.web.respond import json_response


class Front:
    """The application that the listeners are opened with; `app` is what stands behind it."""

    def __init__(self, app: ASGIApp | None = None) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer for it."""
        app = self.app if self.app is not None else _unopened
        await app(scope, receive, send)


async def _unopened(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] == "/livez":
        await json_response({"status": "live"})(scope, receive, send)
    else:
        await render(TemporarilyUnavailable())(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing hangs on it: what the house needs is opened and closed by `app.main`."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
