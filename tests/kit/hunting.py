"""Promise 3, hunted for: certificates are revoked again and again while every server is asked.

The client is ``hunted``, with ``certs/hunted.crt`` in the first server's home.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app import clock
from app.store import tokens
from app.store.engine import StoreUnavailable
from tests.kit import placing
from tests.kit.busy import busy, wait_for_all
from tests.kit.live import live
from tests.kit.running import Running

KINDS: tuple[tuple[str, ...], ...] = ((), ("--key",), ("--issuer-serial",))
T = TypeVar("T")
_TRIES = 5
LONG = 50
"""Rounds from which on the progress is told."""
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


def register(server: Running) -> None:
    """The client, its certificate, and a CA of its own."""
    authority = placing.root("hunting")
    file = placing.authority_file(server, authority, "hunting")
    server.certbound("trust", "add", "hunting", str(file))
    placing.place(server, "hunted", authority)
    add = ("client", "add", "hunted", "--subject-dn", "CN=hunted", "--trust", "hunting")
    server.certbound(*add)


def wait_all(askers: list[Asker], status: int, since: float) -> None:
    """Until each process gave this answer to a request sent after `since`."""
    wait_for_all(askers, lambda asker: asker.has(status, since))


def alive(server: Running) -> int:
    """How many tokens of ``hunted`` the database holds that are not revoked."""

    def count() -> int:
        with server.desk() as desk, desk.db.read() as conn:
            return tokens.outstanding(conn, clock.now(), client_id="hunted").count

    return _patiently(count, StoreUnavailable)


def _operate(server: Running, *words: str) -> Any:
    """A command; what it printed."""
    return _patiently(lambda: server.certbound_json(*words), AssertionError)


def _patiently(act: Callable[[], T], error: type[Exception]) -> T:
    """Do it, again where the database seems not to answer in time.

    A connection to it is made in this process, which is busy with asking; on a loaded machine that
    may take the two seconds that an operator's command has.
    """
    for _ in range(_TRIES - 1):
        try:
            return act()
        except error as failure:
            if "timeout expired" not in str(failure):
                raise
    return act()


def hunt(servers: list[Running], rounds: int) -> str:
    """Revoke and allow so often; fails where a token came, or was left, after `revoke` returned.

    `servers` may name one several times, for several connections. Returns the figures.
    """
    operator = servers[0]
    file = str(operator.file("hunted.crt"))
    late: list[tuple[int, float]] = []
    judged = 0
    began = allowed = time.monotonic()
    every = max(1, rounds // 10)
    askers = [Asker(server) for server in servers]
    with busy(askers):
        for number in range(rounds):
            wait_all(askers, 200, allowed)
            kind = KINDS[number % len(KINDS)]
            stopped = _operate(operator, "revoke", "cert", file, *kind)
            denied = time.monotonic()
            assert (stopped["changed"], stopped["clients"]) == (True, ["hunted"])
            wait_all(askers, 401, denied)
            assert stopped["tokens"]["count"] > 0
            assert alive(operator) == 0, "a token was left, or came afterwards"
            undone = time.monotonic()
            _operate(operator, "revoke", "undo", file)
            allowed = time.monotonic()
            for asker in askers:
                between = [a for a in asker.answers if a[0] > denied and a[1] < undone]
                judged += len(between)
                late += [(number, a[0] - denied) for a in between if a[2] not in (401, 503)]
            if rounds >= LONG and (number + 1) % every == 0:
                print(f"promise 3: {number + 1} of {rounds}", flush=True)  # noqa: T201 - progress
    took = time.monotonic() - began
    assert late == []
    assert [asker.failure for asker in askers] == [""] * len(servers)
    assert judged >= rounds * len(servers)
    given = sum(a[2] == 200 for asker in askers for a in asker.answers)
    return (
        f"promise 3: {rounds} rounds, {len(servers)} connections, {took:.1f} s, {given} tokens, "
        f"{judged} requests after a revocation returned, tokens among them: {len(late)}"
    )
