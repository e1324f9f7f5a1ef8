"""Promise 3 with four processes under load on one SQLite file: a revoked certificate gets no token.

`CERTBOUND_TEST_ROUNDS` says how often a certificate is revoked; 200 is the full form, some 20
seconds, and `SHORT` rounds are run where it is not set.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from app import clock
from app.store import tokens
from tests.kit import placing
from tests.kit.live import live
from tests.kit.running import Running, certbound, running
from tests.kit.wire import TIMEOUT

SHORT = 30
ROUNDS = int(os.environ.get("CERTBOUND_TEST_ROUNDS", SHORT))
PROCESSES = 4
KINDS: tuple[tuple[str, ...], ...] = ((), ("--key",), ("--issuer-serial",))
ISSUER = "https://localhost:8443"
"""Of all processes: four doors of one server."""
LIFETIME = "3600"
"""Seconds: no token may run out while they are counted."""


@dataclass
class Asker:
    """One connection to one process, and what became of each request on it."""

    server: Running
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    """Sent, received (monotonic seconds), status."""
    failure: str = ""

    def work(self, done: threading.Event) -> None:
        """Ask until done."""
        try:
            with live(self.server, "hunted") as ask:
                while not done.is_set():
                    sent = time.monotonic()
                    status = ask().status
                    self.answers.append((sent, time.monotonic(), status))
        except Exception as error:  # noqa: BLE001 - judged by the test
            self.failure = repr(error)

    def has(self, status: int, since: float) -> bool:
        """Whether a request sent after `since` was answered so."""
        return any(each[0] > since and each[2] == status for each in self.answers[-20:])


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Servers on one home, hence one database, each on ports of its own; client ``hunted``."""
    home = tmp_path_factory.mktemp("home")
    certbound(home, "quickstart")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(home, quickstart=False, issuer=ISSUER, access_token_lifetime=LIFETIME)
            )
            for _ in range(PROCESSES)
        ]
        first, authority = started[0], placing.root("hunting")
        file = placing.authority_file(first, authority, "hunting")
        first.certbound("trust", "add", "hunting", str(file))
        placing.place(first, "hunted", authority)
        add = ("client", "add", "hunted", "--subject-dn", "CN=hunted", "--trust", "hunting")
        first.certbound(*add)
        yield started


@contextmanager
def load(servers: list[Running]) -> Iterator[list[Asker]]:
    """One connection to each process, busy while the block runs."""
    done = threading.Event()
    askers = [Asker(server) for server in servers]
    threads = [threading.Thread(target=asker.work, args=(done,)) for asker in askers]
    for thread in threads:
        thread.start()
    try:
        yield askers
    finally:
        done.set()
        for thread in threads:
            thread.join(TIMEOUT)


def wait_all(askers: list[Asker], status: int, since: float) -> None:
    """Until each process gave this answer to a request sent after `since`."""
    deadline = time.monotonic() + TIMEOUT
    while not all(asker.has(status, since) for asker in askers):
        assert time.monotonic() < deadline, [(a.failure, a.answers[-3:]) for a in askers]
        time.sleep(0.002)


def alive(server: Running) -> int:
    """How many tokens of ``hunted`` the database holds that are not revoked."""
    with server.desk() as desk, desk.db.read() as conn:
        return tokens.outstanding(conn, clock.now(), client_id="hunted").count


@pytest.mark.timeout(60 + 2 * ROUNDS)
def test_no_token_after_a_revocation_returned(processes: list[Running]) -> None:
    """In no round, from no process: neither an answer nor a record in the database."""
    operator = processes[0]
    file = str(operator.file("hunted.crt"))
    late: list[tuple[int, float]] = []
    judged = 0
    began = allowed = time.monotonic()
    with load(processes) as askers:
        for number in range(ROUNDS):
            wait_all(askers, 200, allowed)
            kind = KINDS[number % len(KINDS)]
            stopped = operator.certbound_json("revoke", "cert", file, *kind)
            denied = time.monotonic()
            assert (stopped["changed"], stopped["clients"]) == (True, ["hunted"])
            wait_all(askers, 401, denied)
            assert stopped["tokens"]["count"] > 0
            assert alive(operator) == 0, "a token was left, or came afterwards"
            undone = time.monotonic()
            operator.certbound("revoke", "undo", file)
            allowed = time.monotonic()
            for asker in askers:
                between = [a for a in asker.answers if a[0] > denied and a[1] < undone]
                judged += len(between)
                late += [(number, a[0] - denied) for a in between if a[2] != 401]
    took = time.monotonic() - began
    assert late == []
    assert [asker.failure for asker in askers] == [""] * PROCESSES
    assert judged >= ROUNDS * PROCESSES
    given = sum(a[2] == 200 for asker in askers for a in asker.answers)
    print(  # noqa: T201 - the figures of the long form are for the record
        f"promise 3: {ROUNDS} rounds, {PROCESSES} processes, {took:.1f} s, {given} tokens, "
        f"{judged} requests after a revocation returned, tokens among them: {len(late)}"
    )
