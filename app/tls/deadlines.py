"""Absolute deadlines for thousands of connections, without a timer for each.

A connection writes the moment at which it has to be over into its `deadline`; one sweeper per
server looks at all of them a few times a second. Setting a deadline is one assignment, where a
timer of the event loop would cost two calls and an object, several times per request. The price:
a deadline is noticed up to `Sweeper.interval` late.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from app.tls.limits import Limits

NEVER = float("inf")
_LONGEST_INTERVAL = 0.25


class Expiring(Protocol):
    """What the sweeper needs to know of a connection."""

    deadline: float
    """In the time of the event loop; `NEVER` for none."""

    stall: float
    """The same, for a client that does not read."""

    def expire(self) -> None:
        """Called once either has passed; must move it or end the connection."""


class Sweeper:
    """Calls `expire` on every registered connection whose deadline has passed. One per loop."""

    def __init__(self, limits: Limits) -> None:
        shortest = min(limits.handshake, limits.headers, limits.body, limits.idle, limits.linger)
        self.interval = min(_LONGEST_INTERVAL, shortest / 4)
        self._watched: set[Expiring] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Expiring) -> None:
        """Watch `connection` until `discard`."""
        self._watched.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.interval, self._sweep)

    def discard(self, connection: Expiring) -> None:
        """Stop watching; unknown connections are ignored."""
        self._watched.discard(connection)

    def __iter__(self) -> Iterator[Expiring]:
        return iter(tuple(self._watched))

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [each for each in self._watched if min(each.deadline, each.stall) <= now]:
            connection.expire()
        self._timer = loop.call_later(self.interval, self._sweep) if self._watched else None
