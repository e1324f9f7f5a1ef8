"""What the authorization server said of tokens, and which questions it is being asked.

Guarantees that strangers with invented tokens take nothing from those whose token was accepted:
what they were answered is remembered apart, at most `AT_ONCE` of their questions are under way and
`WAITING` more wait, and to ask again about an accepted token there are threads that they never get.
A token that is new is a stranger's until the first answer.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

from app.jose.strict_json import Members
from app.resource.kept import OutOfReach, Wanting

KEPT: Final = 4096
"""Answers of each kind."""
AT_ONCE: Final = 16
"""Questions under way about tokens of which nothing is known."""
AGAIN_AT_ONCE: Final = 8
"""Questions under way about tokens that were accepted before."""
WAITING: Final = 128
"""Questions that wait for one of `AT_ONCE`: less than a second of work for the server."""

Question = tuple[bytes, str | None]
"""The token's hash, and the certificate reported with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or that there was none."""

    members: Members | None
    """None: there was none."""
    until: int
    """Seconds since the epoch: when it must be asked for again."""
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether the token counted."""
        return self.members is not None and self.members.get("active") is True


class Answers:
    """Answers and questions of one resource. Any thread may ask."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._lock = Lock()
        self._accepted: OrderedDict[Question, Answer] = OrderedDict()
        self._others: OrderedDict[Question, Answer] = OrderedDict()
        self._asking: dict[Question, Future[None]] = {}
        self._of_strangers = 0
        self._threads = ThreadPoolExecutor(AT_ONCE, "certbound-introspection")
        self._again = ThreadPoolExecutor(AGAIN_AT_ONCE, "certbound-introspection-again")

    def close(self) -> None:
        """Let go of the threads, once nobody asks any more."""
        self._threads.shutdown()
        self._again.shutdown()

    def known(self, question: Question) -> Answer | None:
        """The answer that still counts."""
        with self._lock:
            return self._current(question)

    def asked(self, question: Question, ask: Callable[[], Answer]) -> Answer:
        """The answer, had by `ask` in another thread, which must not raise.

        Raises:
            Wanting: it is being asked.
            OutOfReach: too many others are.

        """
        with self._lock:
            answer = self._current(question)
            if answer is not None:
                return answer
            asking = self._asking.get(question)
            if asking is None:
                asking = self._begin(question, ask)
        raise Wanting(asking)

    def _current(self, question: Question) -> Answer | None:
        for kept in (self._accepted, self._others):
            answer = kept.get(question)
            if answer is not None and self._now() < answer.until:
                kept.move_to_end(question)
                return answer
        return None

    def _begin(self, question: Question, ask: Callable[[], Answer]) -> "Future[None]":
        stranger = question not in self._accepted
        if stranger and self._of_strangers >= AT_ONCE + WAITING:
            raise OutOfReach("too many questions about unknown tokens")
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # one who gives up ends it for nobody
        counts = 1 if stranger else 0
        threads = self._threads if stranger else self._again
        threads.submit(self._run, question, ask, done, counts)
        self._asking[question] = done
        self._of_strangers += counts
        return done

    def _run(
        self, question: Question, ask: Callable[[], Answer], done: "Future[None]", counts: int
    ) -> None:
        answer = ask()
        with self._lock:
            if answer.members is not None:
                self._accepted.pop(question, None)  # an outage makes nobody a stranger, a "no" does
            kept = self._accepted if answer.active else self._others
            kept[question] = answer
            if len(kept) > KEPT:
                kept.popitem(last=False)
            del self._asking[question]
            self._of_strangers -= counts
        done.set_result(None)
