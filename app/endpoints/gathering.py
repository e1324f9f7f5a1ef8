"""Refusals in masses: counted together, so that nobody can fill the disk by being refused.

Guarantees: whatever is sent, the entries of refusals are bounded per minute (see the numbers
below), and so is the memory for it; and every reference that is given out leads to an entry that
was on disk before the answer left. Refusals counted together share one reference. What is lost when
a process is killed is their number, never an explanation. A refusal that is counted was decided on
the registry in force after it was asked for, as one with an entry of its own was.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from app import clock
from app.audit import Event, RequestRefused, RequestsCounted, RequestsRefused
from app.counts import Counts
from app.endpoints.outcome import outcome
from app.rates import Bucket
from app.store.journal import Decision, Journal
from app.store.lookup import Lookups
from app.store.registry import Versioned

PER_KEY = 10
"""Refusals alike that are recorded one by one per minute: enough to see a client try again."""
WINDOW = 60.0
SINGLES = Bucket(1000, 0.5)
"""Entries of single refusals: so many at once (0.7 MB), then 30 a minute (30 MB a day)."""
OPENINGS = Bucket(200, 0.25)
"""Groups of one client and certificate: so many at once, then 15 a minute of two entries each
(another 30 MB a day)."""
LONGEST = 900.0
"""Seconds after which a group that goes on is closed, its number recorded, and begun anew."""
MAX_TALLIES = 10_000
"""Kinds of refusals remembered for a minute, of some 400 bytes."""

ROUGHLY_ALIKE = ("endpoint", "status", "error", "reason")
ALIKE = (*ROUGHLY_ALIKE, "check", "expected", "client_id", "certificate")

Key = tuple[str | None, ...]
R = TypeVar("R", bound=Versioned)
D = TypeVar("D", bound=Decision)


@dataclass(slots=True)
class _Tally:
    since: float
    count: int = 0


@dataclass(slots=True, eq=False)
class _Group:
    """Refusals alike that share the reference of the first."""

    key: Key
    refusal: Any
    """The decision that opened it; its event is the entry that the reference leads to."""
    opened: float
    last: float
    first_at: int
    last_at: int
    count: int = 1
    is_known: "Future[bool]" = field(default_factory=Future)
    """Whether its entry is on disk; false: it will never be."""


class _NeedsNoEntry(Exception):
    """Raised out of a decision that needs no entry of its own, taken on this registry version."""

    def __init__(self, group: _Group, decision: Decision, version: int) -> None:
        super().__init__(group.key)
        self.group = group
        self.decision = decision
        self.version = version


@dataclass(slots=True)
class _Taking(Generic[R, D]):
    """One request's decision. The journal may take it again, in its own thread."""

    refusals: "Refusals"
    decide: Callable[[R], D]
    opened: _Group | None = None
    is_weighed: bool = False

    def __call__(self, registry: R) -> D:
        decision = self.decide(registry)
        event = decision.event
        if not isinstance(event, RequestRefused):
            return decision
        if self.is_weighed:  # taken again: what was counted then is not counted twice
            same = self.opened is not None and self.opened.key in _keys(event)
            return cast("D", self.opened.refusal) if same and self.opened else decision
        self.is_weighed = True
        self.opened = self.refusals.weigh(decision, event, registry.version)
        return decision if self.opened is None else cast("D", self.opened.refusal)


class Refusals:
    """One per process, between the endpoints and the journal. Any thread may call it."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        singles: Bucket = SINGLES,
        openings: Bucket = OPENINGS,
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._monotonic = monotonic
        self._singles = replace(singles)
        self._openings = replace(openings)
        self._tallies: OrderedDict[Key, _Tally] = OrderedDict()
        self._groups: dict[Key, _Group] = {}
        self._over: list[_Group] = []
        """Groups that count no more, their number not recorded yet."""
        self._lock = threading.Lock()

    async def settle(
        self, journal: Journal[R, D], lookups: Lookups[R], decide: Callable[[R], D]
    ) -> D:
        """As `Journal.settle`; of refusals in masses the one that they were counted with.

        The journal sees to it that what it writes was decided on the registry in force. For what is
        counted instead, the look-ups say which that is, and make it the next one to decide on.
        """
        while True:
            taking = _Taking(self, decide)
            try:
                decision = await journal.settle(taking)
            except _NeedsNoEntry as met:
                # False: who should have recorded the group could not, and this one tries.
                if await outcome(met.group.is_known):
                    in_force = (await lookups.find(None)).registry.version
                    if met.version == in_force and self._count(met.group):
                        # Its own answer, with the reference of all.
                        return cast("D", _with(met.decision, met.group.refusal.event))
                continue
            except BaseException:
                self._end(taking.opened, is_known=False)
                raise
            opened = taking.opened
            self._end(opened, is_known=opened is not None and decision is opened.refusal)
            return decision

    async def record(self, journal: Journal[R, D], *, all_of_them: bool = False) -> None:
        """Record the numbers of groups that are over, or of all.

        Raises:
            StoreUnavailable: the journal could not write; the rest is recorded the next time.

        """
        self._take_leave(all_of_them=all_of_them)
        while self._over:
            group = self._over[0]
            if group.count > 1:
                await journal.record(_with(group.refusal, _counted(group)))
            self._over.remove(group)

    def weigh(self, decision: Decision, event: RequestRefused, version: int) -> _Group | None:
        """None: it gets an entry of its own. A group: it opens that one, as `_Group.refusal`.

        Raises:
            _NeedsNoEntry: it needs no entry.

        """
        fine, rough = _keys(event)
        with self._lock:
            now = self._monotonic()
            tally = self._tally(fine, now)
            tally.count += 1
            group = self._groups.get(fine)
            if group is None and tally.count <= PER_KEY and self._singles.take(now):
                self._counts.refusal("alone")
                return None
            if group is None:
                may_open = tally.count > PER_KEY and self._openings.take(now)
                key = fine if may_open else rough
                if (group := self._groups.get(key)) is None:
                    self._counts.refusal("group")
                    return self._open(key, decision, event, now)
        raise _NeedsNoEntry(group, decision, version)

    def _count(self, group: _Group) -> bool:
        """Count one more; false where the group is over, and its number on its way to the disk."""
        with self._lock:
            if self._groups.get(group.key) is not group:
                return False
            group.count += 1
            group.last, group.last_at = self._monotonic(), clock.now()
            self._counts.refusal("counted")
            return True

    def _tally(self, key: Key, now: float) -> _Tally:
        tally = self._tallies.get(key)
        if tally is None or now - tally.since >= WINDOW:
            self._tallies[key] = tally = _Tally(now)
            self._tallies.move_to_end(key)
            while len(self._tallies) > MAX_TALLIES:
                self._tallies.popitem(last=False)
        return tally

    def _open(self, key: Key, decision: Decision, event: RequestRefused, now: float) -> _Group:
        at = clock.now()
        first = _with(decision, _first(event, is_fine=len(key) > len(ROUGHLY_ALIKE)))
        self._groups[key] = group = _Group(key, first, now, now, at, at)
        return group

    def _end(self, opened: _Group | None, *, is_known: bool) -> None:
        """Tell those who wait for this group's entry; without one there is no group."""
        if opened is None:
            return
        with self._lock:
            if not is_known and self._groups.get(opened.key) is opened:
                del self._groups[opened.key]
        opened.is_known.set_result(is_known)

    def _take_leave(self, *, all_of_them: bool) -> None:
        """Groups that are over count no more: whoever is refused now is not among them."""
        now = self._monotonic()
        with self._lock:
            for group in list(self._groups.values()):
                quiet, long = now - group.last >= WINDOW, now - group.opened >= LONGEST
                if group.is_known.done() and (all_of_them or quiet or long):
                    del self._groups[group.key]
                    self._over.append(group)


def _keys(event: RequestRefused) -> tuple[Key, Key]:
    rough = (event.endpoint, str(event.status), event.error, event.reason)
    refusing = next((f for f in event.findings if f.reason is not None), None)
    check = (refusing.check, refusing.expected) if refusing else ("", "")
    return (*rough, *check, event.client_id, event.thumbprint), rough


def _with(decision: Decision, event: Event) -> Any:
    return replace(cast("Any", decision), event=event)


def _first(event: RequestRefused, *, is_fine: bool) -> Event:
    """The entry of a group: of one that is only roughly alike, nothing that is the first's alone."""
    findings = event.findings
    if not is_fine:
        findings = tuple(replace(f, seen="") for f in event.findings if f.reason is not None)
    return RequestsRefused(
        decision=event.decision,
        reason=event.reason,
        ref=event.ref,
        client_id=event.client_id if is_fine else None,
        certificate=event.certificate if is_fine else None,
        endpoint=event.endpoint,
        error=event.error,
        status=event.status,
        method=event.method if is_fine else None,
        findings=findings,
        alike=ALIKE if is_fine else ROUGHLY_ALIKE,
    )


def _counted(group: _Group) -> RequestsCounted:
    first: RequestsRefused = group.refusal.event
    return RequestsCounted(
        decision=first.decision,
        reason=first.reason,
        client_id=first.client_id,
        certificate=first.certificate,
        endpoint=first.endpoint,
        error=first.error,
        status=first.status,
        given_ref=first.ref or "",
        count=group.count,
        first_at=group.first_at,
        last_at=group.last_at,
    )
