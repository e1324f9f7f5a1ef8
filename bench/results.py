"""Figures, and the table they make."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.lines import CERTBOUND
from bench.load import Round
from bench.peer import NAME as PEER

VERSION = 1
"""Of the shape that ``--json`` prints."""
LIMPING = 0.9
"""Busy below this, the server waited for the load: only its processor time says anything."""

_TEXT = 2
Row = tuple[str, ...]
Form = Callable[[Row, list[Row]], list[str]]
"""Lines out of a head and rows: text in the first two columns, numbers in the others."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """That of these values, at least one."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])


@dataclass(frozen=True, slots=True)
class Loaded:
    """One contender on one line, all rounds."""

    line: str
    title: str
    contender: str
    rounds: list[Round]

    def spread(self, figure: str) -> Spread:
        """That of a field of `Round`."""
        return Spread.of(getattr(one, figure) for one in self.rounds)


@dataclass(frozen=True, slots=True)
class Figure:
    """Something else that was measured."""

    line: str
    title: str
    contender: str
    unit: str
    values: list[float]


@dataclass
class Report:
    """All of one run."""

    about: Mapping[str, str]
    loaded: list[Loaded] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The stable shape."""
        return {
            "version": VERSION,
            "about": dict(self.about),
            "lines": [_loaded_json(one) for one in self.loaded],
            "figures": [
                {
                    "line": one.line,
                    "title": one.title,
                    "contender": one.contender,
                    "unit": one.unit,
                    **_spread_json(Spread.of(one.values)),
                    "values": one.values,
                }
                for one in self.figures
            ],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """For people."""
        return self._written(_aligned, "", "· ")

    def as_markdown(self) -> str:
        """For people, in a document."""
        return self._written(_markdown, "- ", "- ")

    def _written(self, form: Form, about: str, note: str) -> str:
        parts = [f"{about}{name}: {value}" for name, value in self.about.items()]
        if self.loaded:
            parts += ["", *form(_HEAD, [self._row(one) for one in self.loaded])]
        if self.figures:
            parts += ["", *form(_FIGURES_HEAD, [_figure_row(one) for one in self.figures])]
        return "\n".join([*parts, "", *(f"{note}{one}" for one in self.notes)])

    def _row(self, one: Loaded) -> Row:
        rate, cpu, busy = (one.spread(name) for name in ("rate", "cpu", "busy"))
        first = not any(other.line == one.line for other in self.loaded[: self.loaded.index(one)])
        return (
            one.title if first else "",
            one.contender,
            f"{rate.median:,.0f}",
            f"{rate.least:,.0f} to {rate.most:,.0f}",
            *(f"{one.spread(name).median:.2f}" for name in ("p50", "p95", "p99")),
            f"{cpu.median:.3f}",
            f"{cpu.least:.3f} to {cpu.most:.3f}",
            f"{busy.median:.0%}{'*' if busy.median < LIMPING else ''}",
            *self._beside_peer(one),
        )

    def _beside_peer(self, one: Loaded) -> tuple[str, str]:
        """How many times the peer's rate, and its processor time; nothing where it did not run."""
        peer = next((p for p in self.loaded if (p.line, p.contender) == (one.line, PEER)), None)
        if peer is None or one.contender != CERTBOUND:
            return "", ""
        rate = one.spread("rate").median / peer.spread("rate").median
        cpu = peer.spread("cpu").median / one.spread("cpu").median
        return f"{rate:.2f}", f"{cpu:.2f}"


_HEAD = (
    "per second",
    "",
    "median",
    "least to most",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "CPU ms",
    "least to most",
    "busy",
    "x peer",
    "x peer, CPU",
)
_FIGURES_HEAD = ("", "", "median", "least", "most", "")


def _loaded_json(one: Loaded) -> dict[str, Any]:
    figures = ("rate", "p50", "p95", "p99", "cpu", "busy", "load_busy", "others")
    return {
        "line": one.line,
        "title": one.title,
        "contender": one.contender,
        **{name: _spread_json(one.spread(name)) for name in figures},
        "handshake": {
            name: getattr(one.rounds[0], name) for name in ("protocol", "cipher", "group")
        },
    }


def _spread_json(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "min": spread.least, "max": spread.most}


def _figure_row(one: Figure) -> Row:
    spread = Spread.of(one.values)
    places = 3 if spread.most < 1 else 2 if spread.most < 10 else 1  # noqa: PLR2004 - three digits
    shown = (f"{value:.{places}f}" for value in (spread.median, spread.least, spread.most))
    return (one.title, one.contender, *shown, one.unit)


def _aligned(head: Row, rows: list[Row]) -> list[str]:
    table = [head, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if n < _TEXT else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _markdown(head: Row, rows: list[Row]) -> list[str]:
    under = tuple("---" if n < _TEXT else "---:" for n in range(len(head)))
    return [f"| {' | '.join(row)} |" for row in (head, under, *rows)]
