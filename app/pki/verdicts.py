"""A bounded memory of verdicts, so that an open connection's next request costs microseconds.

Guarantees: at most `capacity` entries, the least recently used leaves first; safe from any thread.
Holds successes only, by its users' promise: a refusal is examined anew each time. Knows nothing of
dates or inputs; its users compare them before they use a verdict again.
"""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Verdicts(Generic[K, V]):
    """Least-recently-used mapping from inputs to the verdict on them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """The remembered verdict, or None."""
        with self._lock:
            verdict = self._entries.get(key)
            if verdict is not None:
                self._entries.move_to_end(key)
            return verdict

    def put(self, key: K, verdict: V) -> None:
        """Remember a verdict, and forget the one unused for longest when full."""
        with self._lock:
            self._entries[key] = verdict
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
