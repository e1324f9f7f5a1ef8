"""Askers that are busy, each in a thread of its own, while something happens to who is asked."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tests.kit.wire import TIMEOUT


class Asker(Protocol):
    """Asks again and again."""

    @property
    def answers(self) -> Sequence[Any]:
        """What it got, in order."""

    failure: str
    """What ended it early, if anything did."""

    def work(self, done: threading.Event) -> None:
        """Ask until done; must not raise."""


@contextmanager
def busy(askers: Sequence[Asker]) -> Iterator[None]:
    """All of them ask while the block runs."""
    done = threading.Event()
    threads = [threading.Thread(target=asker.work, args=(done,)) for asker in askers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(TIMEOUT)


def wait_for_all(askers: Sequence[Asker], is_there: Callable[[Any], bool]) -> None:
    """Until this holds for each; fails, and says what each got last, where it takes too long."""
    deadline = time.monotonic() + TIMEOUT
    while not all(is_there(asker) for asker in askers):
        assert time.monotonic() < deadline, [(a.failure, a.answers[-3:]) for a in askers]
        time.sleep(0.002)
