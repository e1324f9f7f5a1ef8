"""What many requests wait for while one of them finds it out: whether an entry is on disk."""

import asyncio
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def outcome(shared: Future[T] | None) -> T | None:
    """What it came to; None where nobody finds it out. Whoever sets it may be in any thread."""
    if shared is None:
        return None
    if not shared.done():
        # Shielded: one who goes away must not cancel what the others wait for.
        await asyncio.shield(asyncio.wrap_future(shared))
    return shared.result()
