"""The operations listener's endpoints: liveness, readiness, metrics."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app import clock
from app.endpoints import health
from app.endpoints.door import Door
from app.ops.figures import LastFigures, Reading
from app.ops.metrics import CONTENT_TYPE, Gauges, rendered
from app.ops.readiness import readiness
from app.ops.whole import Counted
from app.web.respond import NO_STORE, json_response


@dataclass(slots=True)
class Face:
    """What is asked there, and what it is answered from."""

    door: Door
    figures: LastFigures
    server_certificate_end: int | None = None
    """Of the certificate that new connections get; seconds since the epoch."""
    counted: Callable[[], Awaitable[Counted | None]] | None = None
    """Asks what all workers counted; nothing: there is one process. Its None: it cannot be had."""

    def app(self) -> ASGIApp:
        """The endpoints as one ASGI application."""
        routes = [
            Route("/livez", self._livez, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False
        return app

    def hear_certificate(self, end: int) -> None:
        """New connections get a certificate that ends then."""
        self.server_certificate_end = end

    async def _livez(self, request: Request) -> Response:
        return await health.livez(self.door, request)

    async def _readyz(self, _request: Request) -> Response:
        lifecycle = self.door.lifecycle
        reading = Reading(up=False, figures=None)
        if lifecycle.store_answers:  # else there is nothing to wait for
            reading = await self.figures.read()
        found = readiness(lifecycle, reading, clock.now())
        status = 503 if found.state == "not ready" else 200
        headers = {"Retry-After": "2"} if status != 200 else {}  # noqa: PLR2004 - its name
        content = {"status": found.state, "checks": found.checks}
        return json_response(content, status=status, headers=headers)

    async def _metrics(self, _request: Request) -> Response:
        reading = await self.figures.read()
        lifecycle = self.door.lifecycle
        ready = lifecycle.able and lifecycle.others_ready
        gauges = Gauges(reading, ready, self.server_certificate_end)
        counted = None
        if self.counted is not None and (counted := await self.counted()) is None:
            # One worker's counts in the place of all would look like a fall, and then a rise.
            return Response("the supervisor did not answer\n", status_code=503, headers=NO_STORE)
        body = rendered(gauges, self.door.counts, counted)
        return Response(body, headers={**NO_STORE, "Content-Type": CONTENT_TYPE})
