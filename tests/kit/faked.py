"""certbound under libfaketime: ``python -m tests.kit.faked …``, with the library preloaded.

libfaketime 0.9.10 makes `clock_nanosleep` fail with EINVAL where it leaves the monotonic clock
alone, as it must here: no step of the wall clock moves that one. So Python sleeps by `select`.
"""

import select
import sys
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


def main() -> int:
    """The command line."""
    time.sleep = _sleep  # type: ignore[assignment] # of its arguments only numbers are used here
    from app.cli import main as command_line  # noqa: PLC0415 - after it was replaced
    from app.workers import worker  # noqa: PLC0415 - the same

    worker.PROGRAM = "tests.kit.faked"
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
