"""Promises 2 and 3 with real processes: killed, racing, and out of disk."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from app.store import audit, clients, denied, registry, uses
from app.store.clients import ClientRow
from app.store.engine import Database
from app.store.tables import audit as table
from tests.store.chains import unbroken
from tests.store.decisions import THUMBPRINT

ROOT = Path(__file__).parents[2]
ROUNDS = {"sqlite": 200, "postgresql": 30}
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


@pytest.mark.usefixtures("bot")
def test_kill_9_loses_nothing_acknowledged(db: Database, database_url: str) -> None:
    """Killed at an arbitrary moment: every acknowledged token has its row and its entry."""
    acknowledged: set[str] = set()
    for number in range(4):
        with issuing(database_url, tasks=16, processes=1, stdout=subprocess.PIPE) as (process,):
            assert process.stdout
            told = [process.stdout.readline() for _ in range(40 + 17 * number)]
            process.kill()
            rest, _ = process.communicate()
            acknowledged |= {line.decode().strip() for line in [*told, *rest.splitlines()]}
    assert len(acknowledged) > 200
    with db.read() as conn:
        entries = {
            row.jti for row in audit.search(conn, audit.Wanted(decision="issued"), count=1_000_000)
        }
        rows = {jti for (jti,) in conn.exec_driver_sql("SELECT jti FROM tokens")}
        assert acknowledged <= entries
        assert entries == rows
        assert unbroken(conn)


def heads(conn: Connection) -> dict[str, int]:
    """Where every journal's stream stands."""
    query = select(table.c.writer, func.max(table.c.seq).label("seq")).group_by(table.c.writer)
    return {row.writer: row.seq for row in conn.execute(query)}


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


@pytest.mark.usefixtures("bot")
def test_after_deny_returned_no_process_issues(db: Database, database_url: str) -> None:
    """Four processes under load: once a certificate is denied, no row of a token for it follows."""
    rounds = ROUNDS[db.dialect]
    with issuing(database_url, tasks=4, processes=4, stdout=subprocess.DEVNULL):
        started = time.monotonic()
        while time.monotonic() < started + LONG:
            with db.read() as conn:
                before = heads(conn)
            if len(before) == 4:
                break
        for _ in range(rounds):
            with registry.change(db) as conn:
                assert denied.deny(conn, "thumbprint", THUMBPRINT, reason="", actor="t", at=2)
                before, recorded = heads(conn), count_tokens(conn)  # nobody can commit until we do
            assert set(since_all_decided(db, before, "refused")) == {"refused"}
            with db.read() as conn:
                assert count_tokens(conn) == recorded
            with registry.change(db) as conn:
                assert denied.allow(conn, "thumbprint", THUMBPRINT)
                before = heads(conn)
            since_all_decided(db, before, "issued")
    with db.read() as conn:
        assert unbroken(conn)
        assert uses.of_client(conn, "bot")[0].uses == count_tokens(conn) > rounds


def count_tokens(conn: Connection) -> int:
    """How many tokens were ever recorded."""
    return conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar_one()  # type: ignore[no-any-return] # -- SQL text has no types


@pytest.mark.usefixtures("bot")
def test_after_disable_returned_no_process_issues(db: Database, database_url: str) -> None:
    """Two processes issue as fast as they can and never look for changes: zero tokens after it."""
    with issuing(database_url, tasks=4, processes=2, stdout=subprocess.DEVNULL):
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            with db.read() as conn:
                before = heads(conn)
            if len(before) == 2:
                break
        for _ in range(ROUNDS[db.dialect]):
            with registry.change(db) as conn:
                assert clients.disable(conn, "bot", 2)
                before = heads(conn)  # nobody can commit until we do
            assert set(since_all_decided(db, before, "refused")) == {"refused"}
            with registry.change(db) as conn:
                assert clients.enable(conn, "bot", 3)
                before = heads(conn)
            since_all_decided(db, before, "issued")
    with db.read() as conn:
        assert unbroken(conn)


FULL_DISK = """
import asyncio, os, resource, sys
from app.store.engine import Database, StoreUnavailable
from app.store.journal import Journal
from app.store.registry import Snapshots
from tests.store.decisions import issue, view

async def main(path):
    db = Database(f"sqlite:///{path}")
    journal = Journal(db, Snapshots(db, view))
    journal.start()
    kept = [(await journal.settle(issue)).token.jti]
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = os.path.getsize(f"{path}-wal") + 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, no_limit[1]))
    refused = 0
    while refused < 3:
        try:
            kept.append((await journal.settle(issue)).token.jti)
        except StoreUnavailable:
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
    kept.append((await journal.settle(issue)).token.jti)
    print("\\n".join(kept))

asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_tears_nothing_and_heals(
    sqlite_url: str, tmp_path: Path, bot_row: ClientRow
) -> None:
    """No room for the file: refused; what was acknowledged stays; with room again it goes on."""
    path = tmp_path / "certbound.db"
    db = Database(sqlite_url)
    with registry.change(db) as conn:
        clients.add(conn, bot_row)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    acknowledged = done.stdout.split()
    assert len(acknowledged) > 3
    with db.begin() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        entries = {row.jti for row in audit.search(conn, count=1_000_000)}
        assert set(acknowledged) == entries
        assert unbroken(conn)
    db.dispose()
