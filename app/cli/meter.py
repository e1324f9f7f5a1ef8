"""How far a command has come that takes long, for whoever waits at a terminal."""

import sys
import time


class Meter:
    """How far a long reading has come, on standard error if that is a terminal, once a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + 1
        self._shown = False

    def show(self, done: int, of: int | None) -> None:
        """Called as often as wanted; `of` is None where nobody knows how many there are."""
        if not sys.stderr.isatty() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1
        self._shown = True
        total = "" if of is None else f" of {of:,}"
        sys.stderr.write(f"\r{self._what}: {done:,}{total}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line to what comes."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
