"""Verdicts on tokens in masses: the first ones recorded, the others counted.

Guarantees: whoever presents one token again and again, with one certificate or many, makes few
entries; the first verdict of each kind on a token, the first replay above all, has one of its own,
on disk before it is told; and every reference that is given out leads to an entry. Numbers and
dates of the counted ones follow, so that no presentation is missing from the sum. What is lost when
a process is killed is the number of the last minutes, never that there was a replay.

Not guaranteed: few entries for somebody who holds more than `MAX_LINES` tokens that still count;
what was forgotten is recorded anew. Each process counts for itself. To be used from one event loop.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, cast

from app import clock
from app.audit import PresentationsCounted, TokenPresented
from app.counts import Counts
from app.endpoints.outcome import outcome
from app.store.journal import Decision, Journal
from app.store.registry import Versioned
from app.tokens.forward import Forwarded
from app.tokens.introspect import Presented

PER_LINE = 3
"""Refused verdicts alike that are recorded one by one: enough to see somebody try again."""
PER_LINE_HELD = 1
"""Of those that accept: a holder comes with each request."""
PER_TOKEN = 10
"""Other certificates that one token came with, each recorded as its own; the next share a line."""
QUIET = 60.0
LONGEST = 900.0
"""Seconds after which a number is recorded: without another one, and while they go on."""
MAX_LINES = 20_000
"""Kinds of verdicts remembered, of 1.5 KB at most where each is being counted: 30 MB. One is forgotten
after `LONGEST` without use."""
_AT_ONCE = 256
"""Numbers that go to the journal together: half of one of its transactions."""

ALIKE = ("jti", "reporter", "verdict", "reason", "certificate")
ROUGHLY_ALIKE = ALIKE[:-1]

Verdict = Presented | Forwarded
Key = tuple[str | bool | None, ...]
R = TypeVar("R", bound=Versioned)
D = TypeVar("D", bound=Decision)
V = TypeVar("V", Presented, Forwarded)


class Mark(Protocol):
    """To be applied to each decision before it is recorded."""

    def __call__(self, decision: D, /) -> D:
        """The decision; its entry may say more."""


@dataclass(slots=True, eq=False)
class _Line:
    """Verdicts alike."""

    alike: tuple[str, ...]
    seen: float
    recorded: int = 0
    """Entries of their own that were written, or are about to be."""
    shared: "Future[str | None] | None" = None
    """The reference of the others, once its entry is on disk, empty where acceptances have none; None:
    it never will be."""
    certificates: int = 0
    """Of the line of other certificates: how many have a line of their own."""
    count: int = 0
    """Those that no entry tells of yet; the members below are about them."""
    opened: float = 0.0
    first_at: int = 0
    last_at: int = 0
    last: Verdict | None = None


@dataclass(slots=True)
class _Turn:
    """What becomes of one verdict: an entry of its own, or a place in a count."""

    key: Key
    line: _Line
    is_recorded: bool
    opening: "Future[str | None] | None" = None
    """Its entry is the one whose reference the next ones share."""

    def mark(self, decision: D, /) -> D:
        """Have its entry say that others share its reference, if it is the verdict that was weighed."""
        if self.opening is None or decision.event.ref is None or not self.stands(decision):
            return decision
        event = replace(cast("TokenPresented", decision.event), alike=self.line.alike)
        return cast("D", replace(cast("Any", decision), event=event))

    def stands(self, decision: Decision) -> bool:
        """Whether this is the verdict that was weighed."""
        event = decision.event
        return isinstance(event, TokenPresented) and self.key in _keys(event)


@dataclass(slots=True)
class Sightings:
    """One per process, between the endpoints that judge tokens and the journal."""

    monotonic: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)
    max_lines: int = MAX_LINES
    _lines: OrderedDict[Key, _Line] = field(default_factory=OrderedDict)
    _over: list[Verdict] = field(default_factory=list)
    """Numbers that are not recorded yet, each with its event."""

    async def settle(self, path: str, verdict: V, record: Callable[[Mark], Awaitable[D]]) -> D | V:
        """What `record` returns; or `verdict`, which was counted, with the reference of its like.

        `verdict` was taken on the registry in force when it was asked. Raises what `record` raises.
        """
        while True:
            turn = self._weigh(verdict.event)
            if turn.is_recorded:
                return await self._record(turn, record)
            ref = await outcome(turn.line.shared)
            if ref is None:
                continue  # who should have recorded it could not: this one tries
            self._count(turn.line, verdict)
            event = verdict.event
            self.counts.decision(path, "", "", event.decision, event.reason or "")
            return replace(verdict, event=replace(event, ref=ref or None, alike=turn.line.alike))

    async def record(self, journal: Journal[R, D], *, all_of_them: bool = False) -> None:
        """Record the numbers that are due, or all.

        Raises:
            StoreUnavailable: the journal could not write; the rest is recorded the next time.

        """
        await self._take_leave(all_of_them=all_of_them)
        while self._over:
            part = self._over[:_AT_ONCE]
            done = await asyncio.gather(
                *(journal.record(cast("Any", one)) for one in part), return_exceptions=True
            )
            failed = [each for each in done if isinstance(each, BaseException)]
            left = [one for one, was in zip(part, done, strict=True) if was in failed]
            self._over[: len(part)] = left
            if failed:
                raise failed[0]

    async def _record(self, turn: _Turn, record: Callable[[Mark], Awaitable[D]]) -> D:
        line, ref = turn.line, None
        try:
            decision = await record(turn.mark)
            if turn.stands(decision):
                ref = decision.event.ref or ""
        finally:
            if ref is None:
                line.recorded -= 1
            if turn.opening is not None:
                if ref is None and line.shared is turn.opening:
                    line.shared = None
                turn.opening.set_result(ref)
        if ref is not None:
            self.counts.presentation("group" if turn.opening is not None else "alone")
        return decision

    def _weigh(self, event: TokenPresented) -> _Turn:
        fine, rough = _keys(event)
        line, key = self._lines.get(fine), fine
        if rough is not None:
            others = self._line(rough, ROUGHLY_ALIKE)
            if line is None and others.certificates >= PER_TOKEN:
                line, key = others, rough
            elif line is None:
                others.certificates += 1
        if line is None or key is fine:
            line = self._line(fine, ALIKE)
        most = 1 if key is rough else PER_LINE if event.reason else PER_LINE_HELD
        if line.recorded >= most:
            return _Turn(key, line, is_recorded=False)
        line.recorded += 1
        if line.recorded < most:
            return _Turn(key, line, is_recorded=True)
        opening: Future[str | None] = Future()
        line.shared = opening
        return _Turn(key, line, is_recorded=True, opening=opening)

    def _line(self, key: Key, alike: tuple[str, ...]) -> _Line:
        """The line, as the one used last."""
        now = self.monotonic()
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = line = _Line(alike, now)
            if len(self._lines) > self.max_lines:
                self._close(self._lines.popitem(last=False)[1])
        line.seen = now
        self._lines.move_to_end(key)
        return line

    def _count(self, line: _Line, verdict: Verdict) -> None:
        now = clock.now()
        if line.count == 0:
            line.opened, line.first_at = self.monotonic(), now
        line.count += 1
        line.last_at, line.last = now, verdict
        self.counts.presentation("counted")

    async def _take_leave(self, *, all_of_them: bool) -> None:
        now = self.monotonic()
        for number, (key, line) in enumerate(list(self._lines.items()), 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # requests go first: all of them take some 20 ms
            if all_of_them or now - line.seen >= QUIET or now - line.opened >= LONGEST:
                self._close(line)
            if now - line.seen >= LONGEST and self._lines.get(key) is line:
                del self._lines[key]

    def _close(self, line: _Line) -> None:
        """Its number is to be recorded; the next ones are another number."""
        if line.count == 0 or line.last is None:
            return
        event = line.last.event
        ref = line.shared.result() if line.shared is not None and line.shared.done() else None
        counted = PresentationsCounted(
            decision=event.decision,
            reason=event.reason,
            client_id=event.client_id,
            certificate=event.certificate if "certificate" in line.alike else None,
            jti=event.jti,
            resource=event.resource,
            reporter=event.reporter,
            verdict=event.verdict,
            confirmation=event.confirmation,
            bound_to=event.bound_to,
            alike=line.alike,
            given_ref=ref or None,
            count=line.count,
            first_at=line.first_at,
            last_at=line.last_at,
        )
        self._over.append(replace(line.last, event=counted))
        line.count, line.last = 0, None


def _keys(event: TokenPresented) -> tuple[Key, Key | None]:
    """The line of its own, and the one of all other certificates, where it came with one."""
    rough = (event.jti, event.reporter, event.verdict, event.reason)
    seen = event.certificate
    # Who first tells a thumbprint, then the certificate itself, has told more.
    fine = (*rough, seen.thumbprint if seen else None, bool(seen and seen.subject is not None))
    return fine, rough if event.verdict == "other_certificate" else None
