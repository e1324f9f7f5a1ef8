"""What several workers counted, as one server's: sums that outlive who counted, levels by worker.

Guarantees: workers report what they counted since their last report, so a sum never falls, and what
a worker counted stays when it is gone, however it went; at most a second of it is lost. Levels,
such as a queue's depth, are those of workers that accept connections now.

Not here: what is counted. A name is a text that this module does not read.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's, since its last."""

    sums: Mapping[str, float] = field(default_factory=dict)
    """By name, how much more it is."""
    levels: Mapping[str, float] = field(default_factory=dict)
    """By name, how it stands."""

    def encoded(self) -> bytes:
        """As one line."""
        return json.dumps([self.sums, self.levels]).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> "Report":
        """The reverse. Raises ValueError for what is none."""
        match json.loads(line):
            case [dict() as sums, dict() as levels]:
                return cls(_numbers(sums), _numbers(levels))
        raise ValueError("no report")


@dataclass(frozen=True, slots=True)
class Reports:
    """Those of all workers together."""

    sums: Mapping[str, float]
    levels: Mapping[int, Mapping[str, float]]
    """By the number of the worker."""

    def encoded(self) -> bytes:
        """As one line."""
        return json.dumps([self.sums, list(self.levels.items())]).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> "Reports":
        """The reverse, of what a supervisor sent."""
        sums, levels = json.loads(line)
        return cls(sums, dict(levels))


@dataclass(slots=True)
class Totals:
    """What a supervisor keeps of all reports."""

    _sums: dict[str, float] = field(default_factory=dict)

    def add(self, sums: Mapping[str, float]) -> None:
        """One more report."""
        for name, more in sums.items():
            self._sums[name] = self._sums.get(name, 0) + more

    def with_levels(self, levels: Iterable[tuple[int, Mapping[str, float]]]) -> Reports:
        """All of it, and how it stands now with each worker."""
        return Reports(dict(self._sums), dict(sorted(levels)))


def _numbers(named: Mapping[str, object]) -> dict[str, float]:
    found = {name: value for name, value in named.items() if isinstance(value, (int, float))}
    if len(found) != len(named):
        raise ValueError("no number")
    return found
