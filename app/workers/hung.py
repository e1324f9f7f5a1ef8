"""Finds the worker that is alive and does nothing: its event loop stands still.

Guarantees: one that said nothing for `SILENT` looks is killed; the supervisor then replaces it as any
that crashed. Silence is counted in the supervisor's own looks, not in seconds: where the whole machine
stood still (a suspended laptop, a paused container, Ctrl-Z) or its clock was set, nobody is killed
for it.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from app.telemetry import log
from app.workers.worker import Worker

LOOK = 1.0
"""Seconds between looks; workers beat as often."""
SILENT = 10
"""Looks. An event loop comes round in milliseconds; what takes seconds, such as 50 MB of CRLs, is done
beside it. A loaded machine may need several times as long; whoever is connected to a hung worker
waits no longer than that."""
OPENING = 180
"""Looks until its first word: it may load what it needs for that long before its loop turns."""
CLOSING = 15
"""Looks beyond twice its patience, after its last word: journal and look-ups each have that long."""


async def watch(everybody: Collection[Worker], patience: float) -> None:
    """Look, endlessly."""
    while True:
        await asyncio.sleep(LOOK)
        for one in list(everybody):
            one.looks += 1
            if one.looks > _allowed(one, patience) and one.code is None and not one.is_hung:
                one.is_hung = True
                log().error(
                    "worker.hung", number=one.number, pid=one.process.pid, silent_seconds=one.looks
                )
                with suppress(ProcessLookupError):  # it ended just now
                    one.process.kill()


def _allowed(one: Worker, patience: float) -> float:
    if one.is_leaving:
        return 2 * patience + CLOSING
    return SILENT if one.has_spoken else OPENING
