"""Several workers are one server to whoever watches it, and one that hangs is found and replaced."""

import os
import signal
import time
from collections.abc import Iterator

import httpx2
import pytest

from app.workers import hung, supervisor
from tests.kit import crew, tokens, unhurried
from tests.kit.crew import eventually
from tests.kit.running import Running, free_ports, running
from tests.kit.scrape import at, samples
from tests.kit.steady import Steady
from tests.kit.wire import TIMEOUT

ISSUED = (
    "certbound_decisions_total",
    "issued",
    "/token",
    "client_credentials",
    "tls_client_auth",
    "",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers with an operations listener."""
    [port] = free_ports(1)
    home = tmp_path_factory.mktemp("home")
    with running(home, program=unhurried.PROGRAM, workers="2", ops_port=str(port)) as started:
        eventually(lambda: len(crew.ready(started)) == 2, lambda: started.log)
        yield started


def issued(server: Running) -> float:
    """The tokens that the server counts."""
    return samples(server).get(ISSUED, 0)


def asked(server: Running, count: int) -> None:
    """So many tokens, each on a connection of its own, which either worker may accept."""
    for _ in range(count):
        assert tokens.issued(tokens.ask_as(server, "bot", "bot"))


def readiness(server: Running) -> httpx2.Response:
    """What ``/readyz`` of the operations listener says."""
    return httpx2.get(f"{at(server)}/readyz", trust_env=False, timeout=TIMEOUT)


def spared(server: Running) -> int:
    """How many workers were made of a spare."""
    return server.log.count(" from_spare delay=")


def test_counts_are_those_of_all_workers(server: Running) -> None:
    """Every token is counted by the next scrape, whichever worker gave it; gauges name the worker."""
    before = issued(server)
    asked(server, 12)
    found = samples(server)
    assert found[ISSUED] == before + 12
    assert found["certbound_journal_batch_size_sum",] >= before + 12
    for worker in ("1", "2"):
        assert found["certbound_queue_depth", "journal", worker] == 0
        assert found["process_resident_memory_bytes", worker] > 0
        assert ("certbound_open_connections", worker) in found
    assert found["certbound_ready",] == 1


def test_what_a_killed_worker_counted_stays(server: Running) -> None:
    """No counter falls when workers are killed, and what comes later is added to it."""
    asked(server, 6)
    before = samples(server)
    for number in (1, 2):
        crew.kill(server, number, signal.SIGKILL)
    eventually(lambda: readiness(server).status_code == 200)
    after = samples(server)
    for name, value in before.items():
        if name[0].endswith(("_total", "_count", "_sum", "_bucket")) and "process" not in name[0]:
            assert after[name] >= value, name
    assert after[ISSUED] == before[ISSUED]
    ended = ("certbound_workers_replaced_total", "ended")
    assert after[ended] == before.get(ended, 0) + 2
    asked(server, 5)
    assert issued(server) == before[ISSUED] + 5


def test_ready_is_who_has_all_workers(server: Running) -> None:
    """While one worker cannot come back, the operations listener says so, on whoever answers."""
    key = server.file("server.key")
    good = key.read_text()
    key.write_text("no key")
    try:
        os.kill(crew.workers(server)[1], signal.SIGKILL)
        eventually(lambda: readiness(server).status_code == 503, lambda: server.log)
        found = readiness(server).json()
        assert (found["status"], found["checks"]["workers"]) == ("not ready", "not all ready")
        assert samples(server)["certbound_ready",] == 0
        assert tokens.issued(tokens.ask_as(server, "bot", "bot"))
    finally:
        key.write_text(good)
    eventually(lambda: readiness(server).status_code == 200, lambda: server.log)


def test_a_crash_is_made_good_at_once_from_a_spare(server: Running) -> None:
    """The supervisor waits for nothing before it replaces a worker that served, and has one ready."""
    eventually(lambda: readiness(server).status_code == 200)
    before = spared(server)
    for number in (1, 2):
        asked(server, 1)
        eventually(lambda: len(crew.processes(server)) == 3, lambda: server.log)  # a spare again
        time.sleep(2 * supervisor.SOON)  # it served
        crew.kill(server, number, signal.SIGKILL)
        *_, line = (each for each in server.log.splitlines() if "event=worker.started" in each)
        assert " from_spare delay=0.0" in line
    assert spared(server) == before + 2


def test_a_hung_worker_is_replaced_while_the_other_serves(server: Running) -> None:
    """SIGSTOP: whoever connects gets a token of the other; the hung one is killed, and counted."""
    eventually(lambda: readiness(server).status_code == 200)
    stopped, ready = crew.workers(server)[2], len(crew.ready(server))
    before = issued(server)
    os.kill(stopped, signal.SIGSTOP)
    given = 0
    while len(crew.ready(server)) == ready:
        asked(server, 3)
        given += 3
        assert issued(server) == before + given, "the metrics go on, too"
        assert given < 300, server.log
    assert f"event=worker.hung number=2 pid={stopped}" in server.log
    assert not crew.alive(stopped)
    assert given > 5
    eventually(lambda: readiness(server).status_code == 200)
    assert samples(server)["certbound_workers_replaced_total", "hung"] == 1


def test_nobody_is_killed_for_a_pause_of_all(server: Running) -> None:
    """The machine stood still longer than a worker may be silent: afterwards everything goes on."""
    pids = crew.workers(server)
    found = server.log.count("event=worker.hung")
    everybody = [server.process.pid, *pids.values()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(hung.SILENT + 2)
    for pid in everybody:  # the supervisor first: it sees the others silent
        os.kill(pid, signal.SIGCONT)
    load = Steady([server])
    with load.running():
        time.sleep(2 * hung.LOOK)
    assert server.log.count("event=worker.hung") == found
    assert crew.workers(server) == pids
