"""Keeps workers alive, exchanges them one by one, and ends them. Itself it serves nobody.

Guarantees: the listening sockets are bound once and inherited, so that a worker that crashes loses
no connection that nobody had accepted (with sockets of their own, by SO_REUSEPORT, a worker's queue
would be lost with it); one that ends unasked is replaced, at once where it had served, else ever
more slowly; one whose event loop stands still is killed, and so replaced; what workers counted is
kept when they are gone; on SIGHUP a new worker is ready before the one it replaces stops accepting, and one
that does not become ready changes nothing.

Not guaranteed: that connections are spread evenly; whoever is free accepts.
"""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.telemetry import log
from app.tls.listener import signals
from app.workers import hung, place, worker
from app.workers.spare import Spare
from app.workers.totals import Totals
from app.workers.worker import Sockets, Worker

READY_LIMIT = 180.0
"""Seconds that a new worker has, in a reload, to become ready. It may have to parse CRLs for 60."""
SOON = 1.0
"""Seconds that a worker must have been ready, or its end counts as a failed start."""
DELAYS = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the next start after so many that failed in a row."""
LONGEST_DELAY = 0.5
"""The same where the last one had become ready: a crash is made good within two seconds. Each start
takes most of a second of a processor, so that workers which crash ever again cannot take all."""
GATHERING = 1.0
"""Seconds that workers have to report when one of them asks what all counted; a stuck one is left
out, with what it counted since its last report."""
KILL_AFTER = 5.0
"""Seconds that a worker has to end, beyond the limit it keeps itself."""


@dataclass(eq=False, slots=True)
class Supervisor:
    """`arguments` start a worker. Used once, by `run`."""

    arguments: Sequence[str]
    sockets: Sockets
    count: int
    """How many workers there should be."""
    patience: float
    """Seconds that a worker gives its requests once it was told to stop."""
    reload: Callable[[], int | None]
    """How many workers the settings ask for now; None: they cannot be used, and that was said."""
    announce: Callable[[], None]
    """Called when all workers are ready for the first time."""
    replaced: Callable[[str], Mapping[str, float]]
    """What there is to count of a worker that is replaced, as it ``ended`` or ``hung``."""
    _crew: dict[int, Worker] = field(default_factory=dict)
    """Whoever is to accept connections, by number."""
    _everybody: set[Worker] = field(default_factory=set)
    """These, those that are to replace one of them, and those that hand over."""
    _failures: int = 0
    """Starts in a row that came to nothing."""
    _announced: bool = False
    _complete: bool = False
    _stopping: bool = False
    _reload_wanted: bool = False
    _reloading: bool = False
    _over: "asyncio.Future[int]" = field(init=False)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _turn: dict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """Held while a worker of that number is started: by one at a time."""
    _spare: Spare = field(init=False)
    _totals: Totals = field(default_factory=Totals)

    async def run(self) -> int:
        """Until SIGTERM or SIGINT, or no worker can start; the exit code."""
        self._over = asyncio.get_running_loop().create_future()
        self._spare = Spare(self._begin)
        watching = asyncio.ensure_future(hung.watch(self._everybody, self.patience))
        ending = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._stop)
        with signals({**ending, signal.SIGHUP: self._hang_up}):
            self._do(self._open())
            code = await self._over
            watching.cancel()
            await self._end()
        return code

    def _begin(self, number: int) -> Coroutine[Any, Any, Worker]:
        return worker.start(number, self.arguments, self.sockets)

    # -- beginning ---------------------------------------------------------------------------

    async def _open(self) -> None:
        """The first worker alone: what keeps it from starting is said once, not by each."""
        await self._keep(1)
        first = self._crew[1]
        if await first.until_ready():
            for number in range(2, self.count + 1):
                self._do(self._keep(number))
        else:
            self._give_up(first)

    async def _keep(self, number: int, longest: float = DELAYS[-1]) -> None:
        """Have a worker of this number, unless there is one or none is wanted."""
        delay = min(longest, DELAYS[min(self._failures, len(DELAYS) - 1)])
        await asyncio.wait({self._over}, timeout=delay)
        async with self._turn[number]:
            if number not in self._crew and number <= self.count and not self._stopping:
                self._crew[number] = await self._start(number, delay)

    async def _start(self, number: int, delay: float = 0.0) -> Worker:
        """A worker, the spare if there is one; `delay` is what it was waited for, for the log."""
        spare = self._spare.take(number)
        started = spare or await self._begin(number)
        self._everybody.add(started)
        log().info(
            "worker.started",
            number=number,
            pid=started.process.pid,
            from_spare=spare is not None,
            delay=delay,
        )
        started.tell(place.COMPLETE if self._complete else place.INCOMPLETE)
        self._do(self._attend(started))
        if self._stopping:
            _dismiss(started)
        return started

    # -- while it lives ----------------------------------------------------------------------

    async def _attend(self, one: Worker) -> None:
        """Hear a worker out, and replace it if nobody wanted its end."""
        await one.until_ended(self)
        self._everybody.discard(one)
        wanted = self._crew.get(one.number) is one and not self._stopping
        code = one.code or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        say = log().error if wanted else log().info
        say("worker.ended", number=one.number, pid=one.process.pid, how=how)
        if not wanted:
            return
        del self._crew[one.number]
        self._totals.add(self.replaced("hung" if one.is_hung else "ended"))
        served = one.since is not None and asyncio.get_running_loop().time() - one.since > SOON
        self._failures = 0 if served else self._failures + 1
        if not self._announced and one.since is None and not self._crew:
            return  # `_open` looks after it
        if self._failures > len(DELAYS) and not self._crew:
            self._give_up(one)
        else:
            self._do(self._keep(one.number, DELAYS[-1] if one.since is None else LONGEST_DELAY))

    def changed(self, one: Worker, *, first: bool) -> None:
        """A worker became ready, or ceased to be."""
        if first:
            log().info("worker.ready", number=one.number, pid=one.process.pid)
        self._look()

    def counted(self, sums: Mapping[str, float]) -> None:
        """A worker reported."""
        self._totals.add(sums)

    def asked(self, one: Worker) -> None:
        """A worker is asked what all have counted."""
        self._do(self._gather(one))

    async def _gather(self, asking: Worker) -> None:
        reports = [asyncio.ensure_future(each.report()) for each in self._everybody]
        _, late = await asyncio.wait(reports, timeout=GATHERING)
        for each in late:
            each.cancel()
        levels = ((each.number, each.levels) for each in self._crew.values())
        asking.tell(place.SUM + self._totals.with_levels(levels).encoded())

    async def _prepare(self) -> None:
        await self._spare.prepare()
        if self._stopping:
            self._spare.drop()

    def _look(self) -> None:
        """Tell everybody whether the crew is complete."""
        ready = [one for one in self._crew.values() if one.ready]
        complete = len(ready) == len(self._crew) >= self.count
        if complete == self._complete:
            return
        self._complete = complete
        for one in self._everybody:
            one.tell(place.COMPLETE if complete else place.INCOMPLETE)
        if complete and not self._announced:
            self._announced = True
            self.announce()
        if complete:
            self._do(self._prepare())

    # -- reloading ---------------------------------------------------------------------------

    def _hang_up(self) -> None:
        """SIGHUP. What comes while a reload is under way is answered by one more."""
        self._reload_wanted = True
        if not self._reloading:
            self._reloading = True
            self._do(self._reload())

    async def _reload(self) -> None:
        try:
            while self._reload_wanted and not self._stopping:
                self._reload_wanted = False
                if (count := self.reload()) is not None:
                    self._spare.drop()  # the program on the disk may be another by now
                    await self._exchange_all(count)
        finally:
            self._reloading = False
            self._do(self._prepare())

    async def _exchange_all(self, count: int) -> None:
        for one in self._everybody - set(self._crew.values()):
            one.tell(place.STOP)  # still handing over since the last reload
        for number in range(1, count + 1):
            if not await self._exchange(number):
                log().error("reload.failed", number=number, do_this="see what it said; others stay")
                return
            self.count = max(self.count, number)
        self.count = count
        for number in [each for each in self._crew if each > count]:
            self._crew.pop(number).tell(place.HAND_OVER)
        self._look()
        log().info("reload.done", workers=count)

    async def _exchange(self, number: int) -> bool:
        """A new worker accepts, then the old one stops accepting; False: the old one stays."""
        async with self._turn[number]:
            fresh = await self._start(number)
            try:
                async with asyncio.timeout(READY_LIMIT):
                    ready = await fresh.until_ready()
            except TimeoutError:
                ready = False
            if not ready or self._stopping:
                _dismiss(fresh)
                return False
            old, self._crew[number] = self._crew.get(number), fresh
            self._look()
            if old is not None:
                old.tell(place.HAND_OVER)
            return True

    # -- ending ------------------------------------------------------------------------------

    def _stop(self) -> None:
        """SIGTERM or SIGINT; asked twice, nothing in flight is waited for."""
        if self._stopping:
            self._kill()
        self._stopping = True
        if not self._over.done():
            self._over.set_result(0)

    def _give_up(self, last: Worker) -> None:
        if not self._over.done():
            self._over.set_result(last.code if last.code and last.code > 0 else 1)

    async def _end(self) -> None:
        self._stopping = True
        self._spare.drop()
        for one in self._everybody:
            _dismiss(one)
        try:
            async with asyncio.timeout(self.patience + KILL_AFTER):
                await self._all_gone()
        except TimeoutError:
            self._kill()
            await self._all_gone()

    async def _all_gone(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _kill(self) -> None:
        for one in self._everybody:
            if one.code is None:
                log().error("worker.killed", number=one.number, pid=one.process.pid)
                one.process.kill()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log().error("supervisor.failed", exc_info=error)


def _dismiss(one: Worker) -> None:
    """Have it end as SIGTERM would; one that was never ready may not listen to words yet."""
    one.tell(place.STOP)
    if one.since is None and one.code is None:
        one.process.terminate()
