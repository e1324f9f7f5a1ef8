"""Time for those who fetch inside a test's own process, where the time is not what is tested.

The limits in `app` are those of a server that requests wait for. A machine that tests on all its
cores may once need longer for a handshake with a server in the same process.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable

from app.jose.document import Limits

PATIENCE = 60.0
"""Seconds; bounds a hang and nothing else."""


def patient(limits: Limits) -> Limits:
    """The same, with all the time."""
    return dataclasses.replace(limits, seconds=PATIENCE, connect_seconds=PATIENCE)


async def until(what: Callable[[], object]) -> None:
    """Return once it is so, while the event loop goes on; fails after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.005)
