"""A token bucket: so many at once, then so many a second."""

from dataclasses import dataclass


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
