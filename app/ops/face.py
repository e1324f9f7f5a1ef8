"""The operations listener's endpoints: liveness, readiness, metrics."""

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
from app.web.respond import NO_STORE, json_response


@dataclass(slots=True)
class Face:
    """What is asked there, and what it is answered from."""

    door: Door
    figures: LastFigures
    server_certificate_end: int | None = None
    """Of the certificate that new connections get; seconds since the epoch."""

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
        ready = lifecycle.ready and lifecycle.store_answers
        gauges = Gauges(reading, ready, self.server_certificate_end)
        body = rendered(gauges, self.door.counts)
        return Response(body, headers={**NO_STORE, "Content-Type": CONTENT_TYPE})
