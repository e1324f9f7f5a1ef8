"""PostgreSQL is lost in the middle of COMMIT: whether it took place, nobody can tell just then.

A relay stands between, which knows the octets of a token's COMMIT: it swallows the answer to it,
or never passes it on, or PostgreSQL is killed as it arrives.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.store import schema
from app.store.engine import Database
from tests.kit import timing
from tests.kit import tokens as kit
from tests.kit.patience import PATIENCE
from tests.kit.postgres import PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.relay import Relay
from tests.kit.running import running

SOCKET = ".s.PGSQL.5432"
COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
"""The message of PostgreSQL's protocol (section 55.7): a simple query."""
TOKENS = b"INSERT INTO tokens"
ROUNDS = 3


@dataclass
class CommitLoser(Relay):
    """Cuts the connection that a token's COMMIT comes on, once each time it is armed."""

    passes_on: bool = True
    """Whether the COMMIT still reaches PostgreSQL."""
    instead: Callable[[], None] | None = None
    """What is done when it was passed on, in place of waiting for its answer."""
    armed: bool = False
    cuts: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    """Set when the cut is over."""
    _writers: set[socket.socket] = field(default_factory=set)
    _lost: set[socket.socket] = field(default_factory=set)
    """Ends towards PostgreSQL whose next words nobody hears."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(65_536):
                if source in self._lost:
                    break
                if TOKENS in octets:
                    self._writers.add(source)
                if COMMIT in octets and self._takes(source):
                    self._lose(octets, source, to)
                    self.done.set()
                    continue
                to.sendall(octets)
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _takes(self, source: socket.socket) -> bool:
        with self._lock:
            if not self.armed or source not in self._writers:
                return False
            self.armed = False
            self.cuts += 1
            return True

    def _lose(self, octets: bytes, source: socket.socket, to: socket.socket) -> None:
        if not self.passes_on:
            for each in (source, to):
                each.shutdown(socket.SHUT_RDWR)
            return
        self._lost.add(to)
        to.sendall(octets)
        if self.instead is not None:
            self.instead()


def issued(url: str) -> set[str]:
    """What the database has."""
    db = Database(url)
    with db.read() as conn:
        found = {str(row.jti) for row in conn.exec_driver_sql("SELECT jti FROM tokens")}
    db.dispose()
    return found


@pytest.mark.parametrize("way", ["answer swallowed", "never passed on", "killed as it came"])
def test_who_hears_503_has_no_token(cluster: PostgresServer, home: Path, way: str) -> None:
    """No token leaves without a known commit; one that became durable is one that nobody has."""
    name = cluster.create_database()
    straight = cluster.url(name)
    schema.upgrade(straight)
    relay = CommitLoser(cluster.folder / SOCKET, passes_on=way != "never passed on")
    if way == "killed as it came":
        relay.instead = cluster.crash
    with relay.running():
        url = f"postgresql+psycopg://certbound@127.0.0.1:{relay.port}/{name}?sslmode=disable"
        with running(home, database_url=url) as server:
            received = []
            for number in range(1, ROUNDS + 1):
                answer = timing.token(server)
                assert answer.status == 200
                received.append(str(json.loads(answer.body)["access_token"]))
                relay.done.clear()
                relay.armed = True
                refused = timing.token(server)
                assert relay.cuts == number
                assert (refused.status, refused.retry_after) == (503, "2")
                assert json.loads(refused.body)["error"] == "temporarily_unavailable"
                assert b"access_token" not in refused.body
                assert relay.done.wait(PATIENCE)
                if way == "killed as it came":
                    cluster.start()
                timing.until_tokens(server)
            known = {kit.read(token)["jti"] for token in received}
            more = issued(straight) - known
            # `until_tokens` had one each time; the rest is what nobody was given.
            unknown = len(more) - ROUNDS
            expected = {"answer swallowed": {ROUNDS}, "never passed on": {0}}
            assert unknown in expected.get(way, range(ROUNDS + 1))
            verdict = server.certbound_json("audit", "verify")
            assert verdict["intact"], verdict
        assert "audit.altered" not in server.log
    assert_recorded(straight, received)
