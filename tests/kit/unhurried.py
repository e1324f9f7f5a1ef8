"""certbound with time for a busy machine: ``python -m tests.kit.unhurried …``.

The server gives up on a database, and on a worker that does not say what it counted, within two
seconds, and on a CRL that is being parsed within fifteen: somebody waits for it. A machine that tests on all its cores is now and then that late, and
the answer, an honest 503, is not what most tests are about. Nothing else differs.
"""

import sys
from functools import partial

PROGRAM = "tests.kit.unhurried"
DATABASE = 30
"""Seconds for a lock, a connection or a statement, and for all that a request waits for there."""
GATHERING = 4.0
"""Seconds that workers have to report."""


def give_time() -> None:
    """For this process; before it opens its database."""
    from app.endpoints import wanted  # noqa: PLC0415 - for that process alone
    from app.store import connect, engine, patience  # noqa: PLC0415 - the same
    from app.workers import place, supervisor  # noqa: PLC0415 - the same

    connect.PATIENCE = DATABASE
    patient = partial(connect.make_engine, patience=DATABASE)
    engine.make_engine = patient  # type: ignore[attr-defined] # its own name for it
    patience.LIMIT = DATABASE
    supervisor.GATHERING = GATHERING
    place.ANSWER_LIMIT = DATABASE
    wanted.CRL_WAIT = 2 * DATABASE


def main() -> int:
    """The command line."""
    give_time()
    from app.cli import main as command_line  # noqa: PLC0415 - as above
    from app.workers import worker  # noqa: PLC0415 - the same

    worker.PROGRAM = PROGRAM
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
