"""Connections to PostgreSQL that do not wait for ever.

Guarantees: a statement that the server says nothing about for longer than it may take raises
`psycopg.OperationalError`, and the connection is closed: whoever asks next gets a new one, to whatever
answers at that address by then. The limits that the server keeps (`statement_timeout`) and those of
TCP do not cover a server that is frozen, nor a proxy or balancer that holds the connection open.

Not guaranteed: that the statement was not done. A COMMIT given up so may take effect later, as one
whose connection was lost.
"""

import re
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

RV = TypeVar("RV")

GRACE = 1.0
"""Seconds beyond what the server allows a statement, so that its own word comes first."""
_INTERVAL = 0.1
"""Seconds between looks at the time while nothing comes; psycopg's own."""
_UNITS = {"": 0.001, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class ImpatientConnection(psycopg.Connection):
    """One connection."""

    usual: float | None = None
    """Seconds that a statement may take; None: any time, as the server's own limit is off."""
    allowed: float | None = None
    """The same, for the transaction under way: `allow`."""

    def learn(self) -> None:
        """Ask what the server allows a statement: the operator may have set more than we do."""
        row = self.execute("SELECT current_setting('statement_timeout')").fetchone()
        seconds = _seconds(str(row[0])) if row else 0.0
        self.usual = self.allowed = seconds + GRACE if seconds else None

    def allow(self, seconds: float) -> None:
        """Let statements take so long until the next transaction, which begins with `forget`."""
        if self.allowed is not None:
            self.allowed = max(self.allowed, seconds + GRACE)

    def forget(self) -> None:
        """A transaction begins: the usual time again."""
        self.allowed = self.usual

    def wait(
        self,
        gen: Generator[Any, Any, RV],
        interval: float = _INTERVAL,
        timeout: float | None = None,
    ) -> RV:
        """As psycopg, but not for ever."""
        if timeout is not None:  # who waits for notices knows how long
            return super().wait(gen, interval, timeout)
        if self.allowed is None:
            return super().wait(gen, interval)
        return super().wait(self._bounded(gen, self.allowed), interval)

    def _bounded(self, gen: Generator[Any, Any, RV], allowed: float) -> Generator[Any, Any, RV]:
        """`gen`, until nothing came for so long. By the clock that no one sets."""
        heard = time.monotonic()
        try:
            state = next(gen)
            while True:
                ready = yield state
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > allowed:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"no answer in {allowed:g} seconds; the connection was given up"
                    )
                state = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def _seconds(text: str) -> float:
    """PostgreSQL's spelling of a time; 0 for what is none."""
    found = re.fullmatch(r"(\d+) ?([a-z]*)", text)
    return int(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0
