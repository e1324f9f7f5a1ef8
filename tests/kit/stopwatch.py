"""Costs on a noisy machine: what an act takes at best, in this thread's processor time."""

import time
from collections.abc import Callable

TRIES = 7
"""A bound that holds once in seven tries is a bound on the work, not on the neighbours."""


def cheapest(act: Callable[[], object]) -> float:
    """Seconds of processor time of the cheapest of `TRIES` runs of `act`."""
    costs = []
    for _ in range(TRIES):
        started = time.thread_time()
        act()
        costs.append(time.thread_time() - started)
    return min(costs)
