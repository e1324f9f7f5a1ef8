"""What one request got and how long it took, from a client with a connection of its own."""

import time
from dataclasses import dataclass

from tests.kit.running import Running


@dataclass(frozen=True)
class Timed:
    """One answer."""

    status: int
    seconds: float
    retry_after: str | None
    body: bytes


def timed(server: Running, method: str, path: str) -> Timed:
    """Ask once; a token is asked for as ``bot``."""
    began = time.monotonic()
    with server.client("bot") as http:
        data = (
            {"grant_type": "client_credentials", "client_id": "bot"} if path == "/token" else None
        )
        answer = http.request(method, f"{server.issuer}{path}", data=data)
    took = time.monotonic() - began
    return Timed(answer.status_code, took, answer.headers.get("retry-after"), answer.content)


def token(server: Running) -> Timed:
    """A token, or what came instead."""
    return timed(server, "POST", "/token")


def until_tokens(server: Running, limit: float = 60.0) -> float:
    """Ask until a token is given; the seconds that took."""
    began = time.monotonic()
    while token(server).status != 200:
        assert time.monotonic() - began < limit, server.log[-2000:]
        time.sleep(0.05)
    return time.monotonic() - began
