"""Liveness and readiness, for whoever starts and balances this process."""

from starlette.requests import Request
from starlette.responses import Response

from app.endpoints.door import Door
from app.web.respond import json_response


async def livez(_door: Door, _request: Request) -> Response:
    """The process answers. Says nothing about whether it can issue tokens."""
    return json_response({"status": "live"})


async def readyz(door: Door, _request: Request) -> Response:
    """Whether to send requests here.

    Not before the start is complete, not once told to stop, not while the database is silent, and
    not while a worker beside this one cannot either.
    """
    if door.lifecycle.able and door.lifecycle.others_ready:
        return json_response({"status": "ready"})
    return json_response({"status": "not ready"}, status=503, headers={"Retry-After": "2"})
