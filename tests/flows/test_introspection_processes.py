"""Four processes under load on one SQLite file: what was revoked is inactive at once, on each.

`CERTBOUND_TEST_ROUNDS` says how often something is revoked; `SHORT` rounds are run where it is not
set. Each round takes another way: the client itself, and the three commands of an operator.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.kit import tokens, unhurried
from tests.kit.asking import posting, token_of, told
from tests.kit.busy import busy, wait_for_all
from tests.kit.running import Running, certbound, running

SHORT = 16
ROUNDS = int(os.environ.get("CERTBOUND_TEST_ROUNDS", SHORT))
PROCESSES = 4
ISSUER = "https://localhost:8443"
"""Of all processes: four doors of one server."""


@dataclass
class Asker:
    """One connection to one process, asking about whatever token is the one at the moment."""

    server: Running
    token: str = ""
    answers: list[tuple[float, str, bool]] = field(default_factory=list)
    """When the question was sent (monotonic seconds), about which token, and whether it was active."""
    failure: str = ""

    def work(self, done: threading.Event) -> None:
        """Ask until done."""
        try:
            with posting(self.server, "watcher") as post:
                while not done.is_set():
                    if token := self.token:
                        sent = time.monotonic()
                        self.answers.append((sent, token, told(post, token)["active"]))
        except Exception as error:  # noqa: BLE001 - judged by the test
            self.failure = repr(error)

    def said(self, token: str, since: float, *, active: bool) -> bool:
        """Whether a question sent after `since` was answered so."""
        recent = self.answers[-50:]
        return any(each[0] > since and each[1:] == (token, active) for each in recent)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Servers on one home, hence one database; clients ``hunted`` and ``watcher``."""
    home = tmp_path_factory.mktemp("home")
    certbound(home, "quickstart")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(home, program=unhurried.PROGRAM, quickstart=False, issuer=ISSUER)
            )
            for _ in range(PROCESSES)
        ]
        for name, options in (("hunted", ()), ("watcher", ("--introspect-all",))):
            started[0].certbound("ca", "issue", name, "--san-uri", f"spiffe://dev.local/{name}")
            file = str(started[0].file(f"{name}.crt"))
            started[0].certbound("client", "add", name, "--cert", file, *options)
        yield started


def wait_all(askers: list[Asker], token: str, since: float, *, active: bool) -> None:
    """Until each process gave this answer to a question sent after `since`."""
    wait_for_all(askers, lambda asker: asker.said(token, since, active=active))


def ways(operator: Running) -> list[tuple[Callable[[Running, str], object], tuple[str, ...]]]:
    """How a token of ``hunted`` ends, and the command that makes the client usable again."""
    file = str(operator.file("hunted.crt"))

    def by_client(server: Running, token: str) -> None:
        with posting(server, "hunted") as post:
            assert post("/revoke", token=token).status == 200

    def by_token(_server: Running, token: str) -> object:
        return operator.certbound("revoke", "token", str(tokens.read(token)["jti"]))

    return [
        (by_client, ()),
        (by_token, ()),
        (lambda *_: operator.certbound("revoke", "cert", file), ("revoke", "undo", file)),
        (
            lambda *_: operator.certbound("client", "disable", "hunted"),
            ("client", "enable", "hunted"),
        ),
    ]


@pytest.mark.timeout(300 + 2 * ROUNDS)
def test_inactive_on_every_process_once_the_revocation_returned(processes: list[Running]) -> None:
    """No question sent after that is answered active, whichever process revoked, in no round."""
    late: list[tuple[int, float]] = []
    judged = 0
    began = time.monotonic()
    askers = [Asker(process) for process in processes]
    with busy(askers):
        for number in range(ROUNDS):
            server = processes[number % PROCESSES]
            end, undo = ways(processes[0])[number // PROCESSES % 4]
            with posting(server, "hunted") as post:
                token = token_of(post)
            started = time.monotonic()
            for asker in askers:
                asker.token = token
            wait_all(askers, token, started, active=True)
            end(server, token)
            returned = time.monotonic()
            wait_all(askers, token, returned, active=False)
            if undo:
                processes[0].certbound(*undo)
            undone = time.monotonic()
            wait_all(askers, token, undone, active=False)  # what was revoked stays so
            for asker in askers:
                after = [a for a in asker.answers if a[0] > returned and a[1] == token]
                judged += len(after)
                late += [(number, sent - returned) for sent, _, active in after if active]
    took = time.monotonic() - began
    assert late == []
    assert [asker.failure for asker in askers] == [""] * PROCESSES
    assert judged >= ROUNDS * PROCESSES
    asked = sum(len(asker.answers) for asker in askers)
    print(  # noqa: T201 - the figures of the long form are for the record
        f"introspection: {ROUNDS} rounds, {PROCESSES} processes, {took:.1f} s, {asked} questions, "
        f"{judged} after a revocation returned, active among them: {len(late)}"
    )
