"""Engines that only speak PostgreSQL's protocol: rows are locked where PostgreSQL has advisory locks.

Tried on PostgreSQL itself, told to behave so; no other engine is at hand here.
"""

import subprocess
import threading
import time

import pytest

from app.audit import KeyAdded
from app.store import audit, clients, denied, holders, registry
from app.store.clients import ClientRow
from app.store.connect import ROW_LOCKS
from app.store.engine import Database, StoreUnavailable
from tests.kit.postgres import PostgresServer
from tests.store.chains import unbroken
from tests.store.decisions import THUMBPRINT
from tests.store.racing import (
    LONG,
    count_tokens,
    heads,
    issuing,
    since_all_decided,
    until_all_write,
)

ROUNDS = 10


@pytest.fixture
def url(postgres: PostgresServer, postgres_template: str) -> str:
    """A database of the test's own, with the parameter that says so."""
    return postgres.url(postgres.create_database(postgres_template)) + "&certbound_locks=rows"


def test_only_rows_are_locked(url: str) -> None:
    """The registry's lock, the admin stream's and the holders': none is an advisory lock."""
    db = Database(url)
    with registry.change(db) as conn:
        assert conn.info[ROW_LOCKS]
        audit.append_admin(conn, KeyAdded(actor="t", details={"kid": "k"}))
        count = conn.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert count.scalar_one() == 0
    db.dispose()


def test_after_deny_returned_no_process_issues(url: str, bot_row: ClientRow) -> None:
    """Promise 3 by row locks: whoever revokes may have to try again, and then it counts."""
    db = Database(url)
    with registry.change(db) as conn:
        assert clients.add(conn, bot_row)
    with issuing(url, tasks=4, processes=3, stdout=subprocess.DEVNULL):
        deadline = time.monotonic() + LONG
        until_all_write(db, 3)
        for _ in range(ROUNDS):
            before, recorded = _deny(db, deadline + LONG)
            assert set(since_all_decided(db, before, "refused")) == {"refused"}
            with db.read() as conn:
                assert count_tokens(conn) == recorded
            before = _allow(db, deadline + LONG)
            since_all_decided(db, before, "issued")
    with db.read() as conn:
        assert unbroken(conn)
    db.dispose()


def _deny(db: Database, until: float) -> tuple[dict[str, int], int]:
    while True:
        try:
            with registry.change(db) as conn:
                assert denied.deny(conn, "thumbprint", THUMBPRINT, reason="", actor="t", at=2)
                return heads(conn), count_tokens(conn)
        except StoreUnavailable:
            assert time.monotonic() < until


def _allow(db: Database, until: float) -> dict[str, int]:
    while True:
        try:
            with registry.change(db) as conn:
                assert denied.allow(conn, "thumbprint", THUMBPRINT)
                return heads(conn)
        except StoreUnavailable:
            assert time.monotonic() < until


def test_the_admin_stream_stays_a_chain(url: str, bot_row: ClientRow) -> None:
    """Many who write to it, and claim keys, at once: no gap, no fork, nobody waits in a circle."""
    db = Database(url)
    with registry.change(db) as conn:
        assert clients.add(conn, bot_row)
    errors: list[Exception] = []

    def work(number: int) -> None:
        for turn in range(5):
            try:
                with db.begin() as conn:
                    holders.claim_if_registered(conn, f"key {turn}", "bot", "", number)
                    audit.append_admin(conn, KeyAdded(actor="t", details={"kid": str(number)}))
            except Exception as error:  # noqa: BLE001 - judged below
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert errors == []
    with db.read() as conn:
        assert unbroken(conn)
        assert heads(conn)["admin"] == 20
    db.dispose()
