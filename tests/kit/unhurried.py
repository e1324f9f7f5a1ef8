"""certbound whose workers have time to say what they counted: ``python -m tests.kit.unhurried …``.

A worker that does not report within a second is left out of the sum, so that one which hangs holds
up no scrape. On a machine that tests on all its cores any of them may once be that late.
"""

import sys

from app.cli import main as command_line
from app.workers import place, supervisor, worker

GATHERING = 4.0
"""Seconds, for one second."""


def main() -> int:
    """The command line."""
    supervisor.GATHERING = GATHERING
    place.ANSWER_LIMIT = 10 * GATHERING
    worker.PROGRAM = "tests.kit.unhurried"
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
