"""The only reader of wall-clock time, so that a test can stand at any moment."""

import time


def now() -> int:
    """Seconds since the epoch, whole: the unit of every date in tokens and tables."""
    return int(time.time())


def now_ms() -> int:
    """Milliseconds since the epoch: the unit of audit entries."""
    return time.time_ns() // 1_000_000


def iso(seconds: int) -> str:
    """RFC 3339 in UTC, for people: ``2026-11-22T13:50:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
