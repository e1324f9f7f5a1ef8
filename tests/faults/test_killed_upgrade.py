"""``certbound db upgrade`` killed at any point: nothing of it is kept, and the next one does it all.

From every schema there was, with rows in it, on both databases. The kill comes from within, at a
statement or before the commit, so that no point is missed because the machine was fast.
"""

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

from app.store import schema
from app.store.engine import Database
from tests.kit.command import ROOT, call, clean

UPGRADER = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
import alembic.command
import app.store.migrating
from app.cli import main

def kill(*_): os.kill(os.getpid(), signal.SIGKILL)

def upgrade(point):
    seen = 0
    def statement(*_):
        nonlocal seen
        seen += 1
        if seen == point: kill()
    event.listen(Engine, "after_cursor_execute", statement)
    if point == 0: event.listen(Engine, "commit", kill)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = main(["db", "upgrade", "--home", sys.argv[1]])
    Path(sys.argv[1], "statements").write_text(str(seen))
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if not child: upgrade(int(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""One process that has everything loaded, and a child of it for each upgrade; a line on standard
input says at which statement it dies: 0 before the commit, -1 not at all."""
ROWS = (
    (
        "INSERT INTO clients (client_id, auth_method, grants, scopes, resources, trust_sets,"
        " created_at, updated_at) VALUES ('a', 'x', '[]', '[]', '[]', '[]', 1, 2)"
    ),
    (
        "INSERT INTO credentials (client_id, kind, spki_sha256, spki_der, state, created_at, source)"
        " VALUES ('a', 'key', 'k', '', 'active', 3, 'registered')"
    ),
    "INSERT INTO trust_sets (name, description, created_at, updated_at) VALUES ('t', 'd', 4, 5)",
    (
        "INSERT INTO resources (url, scopes, require, created_at, updated_at)"
        " VALUES ('urn:r', '[]', 'mtls', 6, 7)"
    ),
    (
        "INSERT INTO audit (writer, seq, at_ms, event, decision, body, prev, hash)"
        " VALUES ('admin', 1, 8, 'e', 'done', '{}', '', '')"
    ),
)
"""In the words of the first schema, which every later one takes."""
AT_RANDOM = 1
"""Points for each schema, beside the first statement, the last and the commit: 24 kills of each database."""


@dataclass
class Upgrader:
    """See `UPGRADER`."""

    process: "subprocess.Popen[str]"
    home: Path
    url: str

    def run(self, point: int) -> int:
        """Upgrade, or be killed at this point; the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{point}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @property
    def statements(self) -> int:
        """How many the last whole upgrade took."""
        return int((self.home / "statements").read_text())


@pytest.fixture
def upgrader(empty_url: str, tmp_path: Path) -> Iterator[Upgrader]:
    """Of an empty database."""
    environment = {**clean(), "CERTBOUND_DATABASE_URL": empty_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", UPGRADER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Upgrader(process, tmp_path, empty_url)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


@contextlib.contextmanager
def opened(url: str) -> Iterator[Connection]:
    """One transaction."""
    db = Database(url)
    with db.begin() as conn:
        yield conn
    db.dispose()


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    with opened(url) as conn:
        return {
            name: [dict(row) for row in conn.exec_driver_sql(f"SELECT * FROM {name}").mappings()]  # noqa: S608 - ours
            for name in inspect(conn).get_table_names()
        }


def at(url: str, revision: str) -> None:
    """Bring an empty database to this schema, with rows in it; ``0000`` leaves it empty."""
    if revision == "0000":
        return
    schema.upgrade(url, "0001")
    with opened(url) as conn:
        for statement in ROWS:
            conn.exec_driver_sql(statement.replace("%", "%%"))
    schema.upgrade(url, revision)


@pytest.mark.parametrize("revision", [f"{number:04}" for number in range(int(schema.HEAD))])
def test_an_upgrade_is_whole_or_not_at_all(upgrader: Upgrader, revision: str) -> None:
    """Killed at a statement or before its commit, it has done nothing; `serve` says what to do."""
    url = upgrader.url
    at(url, revision)
    number = 0
    for _ in range(2):  # the first one makes Alembic's table too, which stays
        assert upgrader.run(-1) == 0
        number = upgrader.statements
        schema.downgrade(url, "base" if revision == "0000" else revision)
    before = contents(url)
    draw = random.Random(revision)  # noqa: S311 - points, no secrets
    points = [1, number, 0, *(draw.randrange(2, number) for _ in range(AT_RANDOM))]
    for point in points:
        assert upgrader.run(point) == -signal.SIGKILL, point
        assert contents(url) == before, point
    ports = ("--port", "0", "--mtls-port", "0")
    environment = {"CERTBOUND_DATABASE_URL": url}
    outcome = call(upgrader.home, "serve", *ports, "--json", environment=environment)
    assert outcome.code == 3
    assert outcome.error["do_this"].startswith("certbound db upgrade")
    assert upgrader.run(-1) == 0
    assert schema.status(url) == (schema.HEAD, schema.HEAD)
    after = contents(url)
    for name, rows in before.items():
        if name in ("alembic_version", "registry"):
            continue
        kept = [
            {key: new.get(key) for key in old} for old, new in zip(rows, after[name], strict=True)
        ]
        assert kept == rows, name
    assert upgrader.run(-1) == 0
    assert contents(url) == after
