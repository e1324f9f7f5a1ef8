"""Token buckets: so many at once, then so many a second; one, or one for each of many keys.

Guarantees bounded memory however many keys come: `MOST` buckets, and the one unused for longest is
forgotten. Not guaranteed: that who comes back after that finds the bucket as it was left; it is full.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST = 10_000
"""Buckets of one kind, of some 300 octets each."""
BURST = 2
"""Seconds' worth that may come at once."""


@dataclass(slots=True)
class Bucket:
    """Full at first. Not for several threads at once; time is whatever `take` is given."""

    capacity: float
    per_second: float
    _left: float | None = None
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one; False when there is none. `now` in seconds of a clock that only goes forward."""
        left = self.capacity if self._left is None else self._left
        left = min(self.capacity, left + max(now - self._at, 0.0) * self.per_second)
        self._at = now
        self._left = left - 1 if left >= 1 else left
        return left >= 1


class Rates:
    """A bucket per key. Any thread may ask."""

    def __init__(
        self,
        per_second: int,
        *,
        most: int = MOST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`per_second` 0: no limit, and nothing is remembered."""
        self.per_second = per_second
        self._most = most
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def take(self, key: str) -> bool:
        """Take one from the bucket of `key`; False when there is none. A second later there is."""
        if not self.per_second:
            return True
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = Bucket(BURST * self.per_second, self.per_second)
                if len(self._buckets) > self._most:
                    self._buckets.popitem(last=False)
            else:
                self._buckets.move_to_end(key)
            return bucket.take(self._monotonic())
