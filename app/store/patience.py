"""How long a request waits for the database: all its waits together, however many there are.

Guarantees that a client hears within `LIMIT` seconds, and what the rest of its request takes, that
the database does not answer. What it waited for may still be done: a record without a receiver.
Nothing of what a request waits for elsewhere counts, such as a client's key set.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Protocol, TypeVar

from app.store.engine import StoreUnavailable

LIMIT = 1.8
"""Seconds; with the answer they make two."""
TICK = 0.05
"""Seconds between looks at who waits. A timer for each would cost a request 4 µs."""

T = TypeVar("T")


class Patience:
    """What one request has left."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = LIMIT


class Waiter(Protocol):
    """One who waits, on one event loop."""

    def give_up(self) -> None:
        """It takes too long."""


class Watch:
    """Tells those who wait too long, at most `TICK` late: one timer for all of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._until: dict[Waiter, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiter: Waiter, until: float) -> None:
        """Have it give up then, in the time of the loop, unless it is removed before."""
        self._until[waiter] = until
        if self._timer is None:
            self._timer = self.loop.call_later(TICK, self._look)

    def remove(self, waiter: Waiter) -> None:
        """It waits no more."""
        self._until.pop(waiter, None)

    def _look(self) -> None:
        now = self.loop.time()
        for late in [one for one, until in self._until.items() if until <= now]:
            late.give_up()
        self._timer = self.loop.call_later(TICK, self._look) if self._until else None


_OF_REQUEST: ContextVar[Patience] = ContextVar("patience")


def begin() -> None:
    """A request begins in this task."""
    _OF_REQUEST.set(Patience())


def left() -> Patience:
    """What the request of this task has left; all of it outside a request."""
    return _OF_REQUEST.get(None) or Patience()


async def bounded(work: Awaitable[T]) -> T:
    """What `work` returns; raises `StoreUnavailable` where that takes more than is left.

    Then `work` is cancelled; a thread it waits for goes on.
    """
    patience, loop = left(), asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(patience.seconds):
            return await work
    except TimeoutError as error:
        raise StoreUnavailable("the database does not answer in time") from error
    finally:
        patience.seconds -= loop.time() - began
