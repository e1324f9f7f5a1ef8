"""Documents of the authorization server: fetched beside the requests, read from memory.

Guarantees for each document: one fetch at a time, and none sooner than `retry_after` after the
last; a copy is used without a thought while it is fresh, renewed shortly before that ends, and
used until `usable_until` at most while its server is out of reach. After that there is none: who
needs it fails closed. Threads and event loops share one copy.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.jose.document import FetchFailed, FetchRefused

T = TypeVar("T")
R = TypeVar("R")

WAIT_LIMIT = 5.0
"""Seconds a request waits for a fetch: two documents of two seconds each, and a little."""
RENEW_AT = 0.75
"""Of the time a copy is fresh; then the next request starts a fetch that it does not wait for."""


class Wanting(Exception):
    """Whoever waits for `fetch` and asks again may get an answer."""

    def __init__(self, fetch: "Future[None]") -> None:
        super().__init__("a document is being fetched")
        self._fetch = fetch

    def wait(self) -> None:
        """In a thread.

        Raises:
            OutOfReach: it is not there within `WAIT_LIMIT`.

        """
        if wait([self._fetch], WAIT_LIMIT).not_done:
            raise OutOfReach("a fetch takes too long")

    async def wait_async(self) -> None:
        """On an event loop; takes no thread. Raises as `wait`."""
        _, late = await asyncio.wait({asyncio.wrap_future(self._fetch)}, timeout=WAIT_LIMIT)
        if late:
            raise OutOfReach("a fetch takes too long")


class OutOfReach(Exception):
    """There is no copy fit for use, and none to be had now."""


ROUNDS = 5
"""Fetches that one request may wait for: keys, a list, then newer keys for either."""


def patiently(attempt: Callable[[], R]) -> R:
    """What `attempt` returns, waiting in this thread for the documents that it wants.

    Raises:
        OutOfReach: it wants ever more, or one of them is not there in time.

    """
    for _ in range(ROUNDS):
        try:
            return attempt()
        except Wanting as wanting:
            wanting.wait()
    raise OutOfReach("too many fetches")


async def patiently_async(attempt: Callable[[], R]) -> R:
    """The same on an event loop, which goes on meanwhile.

    Raises:
        OutOfReach: it wants ever more, or one of them is not there in time.

    """
    for _ in range(ROUNDS):
        try:
            return attempt()
        except Wanting as wanting:
            await wanting.wait_async()
    raise OutOfReach("too many fetches")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What a fetch brought."""

    value: T
    fresh_for: int
    """Seconds."""
    usable_for: int
    """Seconds, while nothing newer can be had."""


class Kept(Generic[T]):
    """One document. `load` fetches and reads it in a thread of its own; any thread may ask."""

    def __init__(
        self, load: Callable[[], Loaded[T]], now: Callable[[], int], retry_after: int
    ) -> None:
        self._load = load
        self._now = now
        self._retry_after = retry_after
        self._lock = threading.Lock()
        self._held: tuple[Loaded[T], int] | None = None
        self._attempted_at: int | None = None
        self._fetch: Future[None] | None = None
        self.problem: str | None = None
        """Why the last fetch brought nothing; None when it did."""

    def current(self) -> T:
        """The document.

        Raises:
            Wanting: a fetch is under way that is worth the wait.
            OutOfReach: there is none.

        """
        held = self._held
        if held is not None and self._age(held) < held[0].fresh_for * RENEW_AT:
            return held[0].value
        wanting = self._wanting()
        held = self._held  # a fetch may have ended in between
        if held is None:
            raise wanting or OutOfReach(self.problem)
        loaded, age = held[0], self._age(held)
        if age < loaded.fresh_for:
            return loaded.value
        if wanting is not None and (self.problem is None or age >= loaded.usable_for):
            raise wanting
        if age >= loaded.usable_for:
            raise OutOfReach(self.problem)
        return loaded.value

    def _age(self, held: tuple[Loaded[T], int]) -> int:
        return abs(self._now() - held[1])  # a clock that jumped back makes no copy fresher

    def renew(self) -> None:
        """Have it fetched again if that may help by now; otherwise nothing happens.

        Raises:
            Wanting: it is being fetched.

        """
        if self.problem is None and (wanting := self._wanting()) is not None:
            raise wanting

    def _wanting(self) -> Wanting | None:
        """The fetch under way, started now where it may be; None where it is too early."""
        with self._lock:
            if self._fetch is None:
                now, last = self._now(), self._attempted_at
                if last is not None and abs(now - last) < self._retry_after:
                    return None
                self._attempted_at = now
                self._fetch = Future()
                self._fetch.set_running_or_notify_cancel()  # one who gives up ends it for nobody
                threading.Thread(
                    target=self._run, args=(self._fetch, now), name="certbound-fetch", daemon=True
                ).start()
            return Wanting(self._fetch)

    def _run(self, fetch: "Future[None]", started_at: int) -> None:
        loaded, problem = None, None
        try:
            loaded = self._load()
        except (FetchFailed, FetchRefused, ValueError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # a request must never wait for a dead thread
            problem = type(error).__name__
        with self._lock:
            if loaded is not None:
                # It is as old as the question: what changed while it was answered is not in it.
                self._held = loaded, started_at
            self.problem, self._fetch = problem, None
        fetch.set_result(None)
