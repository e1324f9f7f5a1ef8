"""certbound in a hurry: ``python -m tests.kit.hurried serve …``, workers too.

`CLOCK_SPEED` says how many times as fast as the real one its clock runs, from `CLOCK_BEGAN` on
(seconds since the epoch), when both were equal. As in `tests.kit.shifted`, `app.clock` is the only
thing replaced; background work comes as much more often as the clock is faster, so that a server
has lived through hours after minutes, and every round of it.
"""

import os
import sys

from app import clock


def main() -> int:
    """The command line, in a hurry."""
    speed, began = float(os.environ["CLOCK_SPEED"]), float(os.environ["CLOCK_BEGAN"])
    now, now_ms = clock.now, clock.now_ms
    began_ms = int(began * 1000)
    clock.now_ms = lambda: began_ms + int((now_ms() - began_ms) * speed)
    clock.now = lambda: clock.now_ms() // 1000
    from app import upkeep  # noqa: PLC0415 - after the clock was replaced
    from app.cli import main as command_line  # noqa: PLC0415 - the same
    from app.workers import worker  # noqa: PLC0415 - the same

    assert now() >= int(began)
    worker.PROGRAM = "tests.kit.hurried"
    for name in vars(upkeep):
        if name.endswith("_INTERVAL"):
            setattr(upkeep, name, getattr(upkeep, name) / speed)
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
