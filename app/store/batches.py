"""One thread that serves the callers of an event loop, all that wait at a time.

Guarantees: a caller is served by work that began after it asked; it waits on its own event loop,
no longer than its request has patience, and hears of every failure; at most `capacity` wait, and close serves them before it takes no more.
Not here: what serving is. The journal writes, the look-ups read.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar

from app.store import patience
from app.store.engine import StoreUnavailable

_LINGER = 0.004
"""Longest time, in seconds, to gather company for a caller while the event loop is busy. A busy
loop takes 0.1 to 0.3 ms a request, so this is a dozen or more; an idle loop does not wait at all."""


def nobody(_size: int, _seconds: float) -> None:
    """For batches that nobody counts."""


def nothing() -> None:
    """For threads that have nothing to give back."""


class Waiting:
    """One caller, made on its event loop. Serving it may set `error`."""

    __slots__ = ("error", "loop", "served")

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.served: asyncio.Future[None] = self.loop.create_future()

    def wake(self) -> None:
        """Answer the caller; to be called in its event loop."""
        if self.served.done():  # cancelled meanwhile
            return
        if self.error is None:
            self.served.set_result(None)
        else:
            self.served.set_exception(self.error)

    def give_up(self) -> None:
        """Tell the caller that it takes too long; to be called in its event loop."""
        if not self.served.done():
            self.served.set_exception(StoreUnavailable("the database does not answer in time"))

    @property
    def given_up(self) -> bool:
        """Whether nobody waits any more: it need not be served."""
        return self.served.done()


W = TypeVar("W", bound=Waiting)


class Batches(Generic[W]):
    """The thread and its queue. `capacity` bounds what waits, `limit` one batch."""

    def __init__(
        self,
        name: str,
        serve: Callable[[list[W]], None],
        *,
        capacity: int,
        limit: int,
        failure: str,
        tell: Callable[[int, float], None] = nobody,
        end: Callable[[], None] = nothing,
    ) -> None:
        """`serve` gets every batch; `failure` is what its callers hear when it raises.

        `tell` gets the size of each batch and the seconds it took, in the thread; `end` is called
        there last.
        """
        self._name = name
        self._serve = serve
        self._capacity = capacity
        self._limit = limit
        self._failure = failure
        self._tell = tell
        self._end = end
        self._queue: deque[W] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._gathering: asyncio.AbstractEventLoop | None = None
        self._watch: patience.Watch | None = None
        self._closing = False
        self._gate = threading.Lock()  # nothing enters the queue after close
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Call after any fork."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Take nothing more and serve what waits; False if that takes more than `timeout` seconds."""
        with self._gate:
            self._closing = True
        self._bell.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def depth(self) -> int:
        """How many wait to be served."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return len(self._queue) >= self._capacity

    async def wait(self, waiting: W) -> None:
        """Return when it was served. Raises its error, `StoreUnavailable` where that failed.

        The same where it takes longer than the request has patience; it may be served all the same.
        The caller has looked whether the queue is `full`.
        """
        loop = waiting.loop
        with self._gate:
            if self._closing:
                raise StoreUnavailable(f"the {self._name} is closed")
            self._queue.append(waiting)
            if self._gathering is not loop:
                self._gathering = loop
                loop.call_soon(self._gather, loop, len(self._queue), loop.time() + _LINGER)
        request, began, watch = patience.left(), loop.time(), self._watch_of(loop)
        watch.add(waiting, began + request.seconds)
        try:
            await waiting.served
        finally:
            watch.remove(waiting)
            request.seconds -= loop.time() - began

    def _watch_of(self, loop: asyncio.AbstractEventLoop) -> patience.Watch:
        if self._watch is None or self._watch.loop is not loop:
            self._watch = patience.Watch(loop)
        return self._watch

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int, until: float) -> None:
        """Wake the thread as soon as the loop went round without a new caller.

        Waking it at once would be slower for everybody: it would serve one or two at a time and
        contend for the interpreter lock with the loop that is about to bring more.
        """
        count = len(self._queue)
        if seen < count < self._limit and loop.time() < until:
            loop.call_soon(self._gather, loop, count, until)
            return
        self._gathering = None
        self._bell.put(None)

    def _run(self) -> None:
        full = False
        while True:
            if not full and not self._closing:
                self._bell.get()
            size = min(len(self._queue), self._limit)
            batch = [self._queue.popleft() for _ in range(size)]
            full = size == self._limit  # the bell may have been for more than this
            if batch:
                self._serve_batch(batch)
            elif self._closing:
                self._end()
                return

    def _serve_batch(self, batch: list[W]) -> None:
        batch = [waiting for waiting in batch if not waiting.given_up]
        size, began = len(batch), time.perf_counter()
        try:
            if batch:
                self._serve(batch)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the callers must hear of it
            if isinstance(error, StoreUnavailable):
                # Who came meanwhile would only wait as long again.
                batch += [self._queue.popleft() for _ in range(len(self._queue))]
            for waiting in batch:
                waiting.error = StoreUnavailable(self._failure)
                waiting.error.__cause__ = error
        if size:
            self._tell(size, time.perf_counter() - began)
        _wake(batch)


def _wake(batch: Iterable[Waiting]) -> None:
    """Answer every caller, with one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in batch:
        by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake_all, group)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _wake_all(group: list[Waiting]) -> None:
    for waiting in group:
        waiting.wake()
