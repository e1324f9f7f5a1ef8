"""How long a request waits for the database: all its waits together, however many there are.

Guarantees that a client hears within `LIMIT` seconds, and what the rest of its request takes, that
the database does not answer. What it waited for may still be done: a record without a receiver.
Nothing of what a request waits for elsewhere counts, such as a client's key set.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TypeVar

from app.store.engine import StoreUnavailable

LIMIT = 1.8
"""Seconds; with the answer they make two."""

T = TypeVar("T")


class Patience:
    """What one request has left."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = LIMIT


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
