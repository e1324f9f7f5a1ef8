"""certbound with a clock that a test moves: ``python -m tests.kit.shifted serve …``.

The file that ``CLOCK_SHIFT_FILE`` names holds the seconds by which this process is ahead.
`app.clock` is the only reader of wall-clock time, so it is the only thing replaced, before any
other room is imported. One thing else differs, so that tests which moved the clock need not wait:
background work looks every half second whether anything is due.
"""

import os
import sys
from pathlib import Path

from app import clock

LOOK = 0.5
"""Seconds between two looks."""


def main() -> int:
    """The command line, shifted."""
    source = Path(os.environ["CLOCK_SHIFT_FILE"])
    now, now_ms = clock.now, clock.now_ms

    def ahead() -> int:
        return int(source.read_text() or "0")

    clock.now = lambda: now() + ahead()
    clock.now_ms = lambda: now_ms() + ahead() * 1000
    from app import upkeep  # noqa: PLC0415 - after the clock was replaced
    from app.cli import main as command_line  # noqa: PLC0415 - the same

    for interval in ("FETCH_INTERVAL", "LOOK_INTERVAL"):
        setattr(upkeep, interval, LOOK)
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
