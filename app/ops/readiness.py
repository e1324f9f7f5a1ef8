"""Whether to send requests here, and what is amiss: the operations listener's `/readyz`.

Guarantees: "not ready" is said only of what another server may not share, or what stops every
client: the start, the end, a worker that is missing or not ready, the database, its schema, the
signing key. Where a list or a bundle ran
out, the clients of one trust set are refused, on every server alike: "degraded", and still 200, for
taking servers away would help nobody. A soft policy lets its clients in, and degrades nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.endpoints.door import Lifecycle
from app.ops.figures import Figures, Reading

OK = "ok"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer."""

    state: Literal["ready", "degraded", "not ready"]
    checks: Mapping[str, str]
    """``ok``, or in a word what is not; ``unknown`` where the database has not told yet."""


def readiness(lifecycle: Lifecycle, reading: Reading, now: int) -> Readiness:
    """As of what was read of the database last."""
    figures = reading.figures
    decisive = {
        "server": OK if lifecycle.ready else "starting or stopping",
        "workers": OK if lifecycle.others_ready else "not all ready",
        "database": OK if lifecycle.store_answers and reading.up else "silent",
        "schema": _known(figures, is_good=figures is not None and figures.is_schema_current),
        "signing_key": _known(
            figures, is_good=figures is not None and figures.signing_since is not None
        ),
    }
    partial = {"crls": _lists(figures, now), "bundles": _bundles(figures, now)}
    checks = {**decisive, **partial}
    if any(each != OK for each in decisive.values()):
        return Readiness("not ready", checks)
    return Readiness("ready" if all(v == OK for v in partial.values()) else "degraded", checks)


def _known(figures: Figures | None, *, is_good: bool) -> str:
    return "unknown" if figures is None else OK if is_good else "missing"


def _lists(figures: Figures | None, now: int) -> str:
    if figures is None:
        return "unknown"
    hard = {name: end for (name, policy), end in figures.lists.items() if policy == "hard"}
    return _over(hard, now)


def _bundles(figures: Figures | None, now: int) -> str:
    return "unknown" if figures is None else _over(figures.bundles, now)


def _over(ends: Mapping[str, int], now: int) -> str:
    over = sorted(name for name, end in ends.items() if now >= end)
    return f"over: {', '.join(over)}" if over else OK
