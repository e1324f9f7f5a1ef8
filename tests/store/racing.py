"""Processes that issue tokens as fast as they can, for tests that race them; and what they wrote."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func, select

from app.store.engine import Database
from app.store.tables import audit as table

ROOT = Path(__file__).parents[2]
LONG = 60.0
"""Seconds after which even a loaded machine must have answered."""


@contextmanager
def issuing(
    url: str, *, tasks: int, processes: int, stdout: int
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that issue tokens through journals of their own until the block ends."""
    command = [sys.executable, "-m", "tests.store.decisions", url, str(tasks)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=stdout) for _ in range(processes)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def heads(conn: Connection) -> dict[str, int]:
    """Where every journal's stream stands."""
    query = select(table.c.writer, func.max(table.c.seq).label("seq")).group_by(table.c.writer)
    return {row.writer: row.seq for row in conn.execute(query)}


def until_all_write(db: Database, journals: int) -> None:
    """Wait until so many streams have begun; whatever then is missing is for the test to find."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        with db.read() as conn:
            if len(heads(conn)) == journals:
                return


def decided_since(conn: Connection, writer: str, seq: int) -> Counter[str]:
    """What a journal recorded behind that place."""
    query = select(table.c.decision).where(table.c.writer == writer, table.c.seq > seq)
    return Counter(conn.execute(query).scalars())


def since_all_decided(db: Database, before: dict[str, int], decision: str) -> Counter[str]:
    """Wait until every journal has recorded this decision since; all that was recorded since."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        with db.read() as conn:
            counts = [decided_since(conn, writer, seq) for writer, seq in before.items()]
        if all(count[decision] for count in counts):
            return sum(counts, Counter())
        time.sleep(0.001)
    raise TimeoutError(decision)


def count_tokens(conn: Connection) -> int:
    """How many tokens were ever recorded."""
    return conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar_one()  # type: ignore[no-any-return] # -- SQL text has no types
