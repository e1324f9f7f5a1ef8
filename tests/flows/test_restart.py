"""Ended in the middle of everything: no token without its record, and a graceful stop is graceful."""

import contextlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.store.audit import link
from tests.kit import ledger, tokens, unhurried
from tests.kit.presenting import token_request
from tests.kit.running import STOP_LIMIT, Running, certbound, running
from tests.kit.wire import TIMEOUT, ClosedEarly, Reader

ROUNDS = 5
ASKERS = 4
ENOUGH = 40
"""Tokens a round must see before the server is ended: it is under load then."""


class Load:
    """Clients that ask for tokens on kept connections until the server is gone."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(ASKERS)]
        self.received: list[str] = []
        self.others: list[int] = []

    def _ask(self) -> None:
        context = self._server.tls(self._server.file("bot.crt"))
        with (
            contextlib.suppress(OSError, ssl.SSLError, ClosedEarly),
            socket.create_connection(("127.0.0.1", self._server.mtls_port), TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            reader = Reader(connection)
            while not self._done.is_set():
                connection.sendall(token_request("bot"))
                response = reader.response()
                if response.status == 200:
                    self.received.append(response.json()["access_token"])
                else:
                    self.others.append(response.status)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The block begins when the server is busy; all clients have ended behind it."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + TIMEOUT
        try:
            while len(self.received) < ENOUGH and time.monotonic() < deadline:
                time.sleep(0.005)
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join(TIMEOUT)
        assert len(self.received) >= ENOUGH


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that outlives several servers."""
    certbound(tmp_path, "quickstart")
    return tmp_path


def assert_all_recorded(home: Path, received: list[str]) -> None:
    """Each token that a client holds has its row and its audit entry, and no chain is broken."""
    recorded = ledger.token_rows(home, [tokens.read(token)["jti"] for token in received])
    issued = {row.jti: row for row in ledger.entries(home) if row.event == "token.issued"}
    for token in received:
        claims = tokens.read(token)
        assert claims["jti"] in issued
        assert issued[claims["jti"]].thumbprint == claims["cnf"]["x5t#S256"]
        row = recorded.get(claims["jti"])
        assert row is not None
        assert (row.client_id, row.expires_at) == ("bot", claims["exp"])


def assert_unbroken(home: Path) -> None:
    """Every audit stream is a chain from its first entry on, without a gap."""
    heads: dict[str, tuple[int, bytes]] = {}
    for row in sorted(ledger.entries(home), key=lambda row: (row.writer, row.seq)):
        seq, head = heads.get(row.writer, (0, bytes(32)))
        assert (row.seq, row.prev) == (seq + 1, head)
        assert row.hash == link(row.prev, row.writer, row.seq, row.at_ms, row.body)
        heads[row.writer] = (row.seq, row.hash)


def test_killed_under_load(home: Path) -> None:
    """SIGKILL, again and again: whatever a client received is in the database, which stays whole."""
    received: list[str] = []
    for _ in range(ROUNDS):
        with running(home, program=unhurried.PROGRAM, quickstart=False) as server:
            load = Load(server)
            with load.running():
                server.process.kill()
                server.process.wait(TIMEOUT)
            received += load.received
            assert load.others == []
    assert len({tokens.read(token)["jti"] for token in received}) == len(received)
    assert_all_recorded(home, received)
    assert_unbroken(home)


def test_stopped_under_load(home: Path) -> None:
    """SIGTERM: not ready first, requests in flight get their token, exit code 0 within the limit."""
    seen: list[int] = []
    received: list[str] = []
    for _ in range(ROUNDS):  # not ready lasts a tenth of a second at most, so look more than once
        with running(home, program=unhurried.PROGRAM, quickstart=False) as server:
            load = Load(server)
            with load.running():
                started = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                seen = readiness_until_gone(server)
                assert server.process.wait(STOP_LIMIT) == 0
                assert time.monotonic() - started < STOP_LIMIT / 2
            assert load.others == []
            received += load.received
            assert "Traceback" not in server.log
        if 503 in seen:
            break
    assert seen[-1] == 503
    assert seen == sorted(seen), "once not ready, never ready again"
    assert_all_recorded(home, received)
    assert_unbroken(home)


def readiness_until_gone(server: Running) -> list[int]:
    """What ``/readyz`` answered on one connection after another until there was none."""
    seen: list[int] = []
    with server.client(None) as http, contextlib.suppress(httpx2.TransportError):
        while len(seen) < 10_000:
            seen.append(http.get(f"{server.issuer}/readyz").status_code)
    return seen


def test_ready_again_after_any_end(home: Path) -> None:
    """A server started after a kill answers at once, with the keys and clients of the one before."""
    with running(home, program=unhurried.PROGRAM, quickstart=False) as server:
        before = tokens.issued(tokens.ask_as(server, "bot"))
        server.process.kill()
        server.process.wait(TIMEOUT)
    with running(home, program=unhurried.PROGRAM, quickstart=False) as server:
        after = tokens.issued(tokens.ask_as(server, "bot"))
        assert tokens.header(before)["kid"] == tokens.header(after)["kid"]
        assert tokens.verified(server, before)["sub"] == "bot"
