"""Several workers on the same two ports: replaced, exchanged, ended, and one server to its clients."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import crew, tokens, unhurried
from tests.kit.command import run
from tests.kit.crew import eventually
from tests.kit.presenting import token_request
from tests.kit.running import STOP_LIMIT, Running, certbound, running
from tests.kit.steady import Steady
from tests.kit.wire import TIMEOUT, ask


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers under a supervisor."""
    home = tmp_path_factory.mktemp("home")
    with running(home, program=unhurried.PROGRAM, workers="2", handshake_timeout="110") as started:
        eventually(lambda: "listening on" in started.log, lambda: started.log)
        yield started


def readiness(server: Running) -> int:
    """The status of ``/readyz``, on a connection of its own."""
    with server.client(None) as http:
        return http.get(f"{server.issuer}/readyz").status_code


def test_it_is_ready_when_all_are(server: Running) -> None:
    """The announcement comes once, after the last worker; each line of a worker has its number."""
    assert server.log.count("listening on") == 1
    assert len(crew.ready(server)) >= 2
    assert server.log.index("listening on") > server.log.index("event=worker.ready number=2")
    for _ in range(10):
        assert readiness(server) == 200
    with server.client("bot") as http:
        answer = http.post(server.mtls_token_url, data={"client_id": "bot"})
    assert answer.status_code == 400
    (line,) = [each for each in server.log.splitlines() if answer.json()["error_ref"] in each]
    assert " worker=1" in line or " worker=2" in line


def test_a_killed_worker_is_replaced_while_the_other_serves(server: Running) -> None:
    """SIGKILL costs the requests that worker had in hand, and nobody else anything."""
    load = Steady([server], threads=6)
    with load.running():
        took = crew.kill(server, 1, signal.SIGKILL)
        load.wait(50)
        eventually(lambda: readiness(server) == 200)
    print(f"a worker killed under load was replaced in {took:.1f} s")  # noqa: T201 - for the record
    assert load.others == []
    assert load.refused == 0, "no connection is refused: the sockets stay open"
    assert len(load.broken) <= 6, "more than one request per connection was lost"


def test_not_ready_while_one_is_missing(server: Running) -> None:
    """Between the end of a worker and its replacement the rest say so to a load balancer."""
    before = len(crew.ready(server))
    seen = []
    os.kill(crew.workers(server)[2], signal.SIGKILL)
    while len(crew.ready(server)) == before:
        try:
            seen.append(readiness(server))
        except OSError:
            continue  # it was the killed one's connection
    assert 503 in seen
    eventually(lambda: readiness(server) == 200)


def test_a_reload_fails_no_request(server: Running) -> None:
    """SIGHUP under load: both workers are others afterwards, and every request had its token."""
    before = set(crew.workers(server).values())
    done = server.log.count("event=reload.done")
    load = Steady([server], threads=6)
    with load.running():
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.log.count("event=reload.done") > done, lambda: server.log)
        load.wait(100)
        eventually(lambda: before <= set(crew.ended(server)), lambda: server.log)
    assert (load.broken, load.others, load.refused) == ([], [], 0)
    assert before.isdisjoint(crew.workers(server).values())
    assert not any(crew.alive(pid) for pid in before)


def test_a_reload_reads_the_settings_and_survives_bad_ones(server: Running) -> None:
    """New workers have the new settings; settings or files that cannot be used change nothing."""
    file = server.home / "certbound.toml"
    before = file.read_text() if file.exists() else None

    def reload(text: str, until: str) -> None:
        count = server.log.count(until)
        file.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.log.count(until) > count, lambda: server.log)

    def lifetime() -> int:
        return int(tokens.ask_as(server, "bot").json()["expires_in"])

    try:
        old = crew.workers(server).values()
        reload("access_token_lifetime = 77\n", "event=reload.done")
        eventually(lambda: not any(map(crew.alive, old)))
        assert {lifetime() for _ in range(8)} == {77}
        staying = crew.workers(server)
        reload("access_token_lifetime = 0\n", "event=reload.failed")
        reload("access_token_lifetme = 5\n", "event=reload.failed")
        assert crew.workers(server) == staying
        reload('tls_certificate_file = "certs/none"\n', "event=reload.failed")
        assert {lifetime() for _ in range(8)} == {77}
        assert all(crew.alive(pid) for pid in staying.values())
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
        reload(before or "", "event=reload.done")
    eventually(lambda: {lifetime() for _ in range(8)} == {300})  # the old ones are told by then


def test_what_an_operator_changes_reaches_every_worker(server: Running) -> None:
    """A client disabled at the desk gets a token from no worker, and again from each after it."""
    server.certbound("client", "disable", "bot")
    assert {tokens.ask_as(server, "bot").status_code for _ in range(10)} == {401}
    server.certbound("client", "enable", "bot")
    assert {tokens.ask_as(server, "bot").status_code for _ in range(10)} == {200}


def test_sigterm_ends_everybody_gracefully(tmp_path: Path) -> None:
    """In flight is finished, the exit code is 0, no process is left; a new start finds its ports."""
    certbound(tmp_path, "quickstart")
    with running(tmp_path, program=unhurried.PROGRAM, quickstart=False, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        load = Steady([server])
        with load.running():
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(STOP_LIMIT) == 0
        assert load.others == []
        assert server.log.count("event=worker.ended") == 2
        assert server.log.count('how="exit code 0"') == 2
        assert not any(crew.alive(pid) for pid in crew.workers(server).values())


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Where nobody replaces them, nobody would stop them either: they end by themselves."""
    with running(tmp_path, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        pids = crew.workers(server).values()
        server.process.kill()
        server.process.wait(TIMEOUT)
        eventually(lambda: not any(map(crew.alive, pids)), lambda: server.log)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), TIMEOUT)


def test_what_keeps_workers_from_starting_is_said_once(tmp_path: Path) -> None:
    """The first worker's reason and exit code are the server's."""
    certbound(tmp_path, "quickstart")
    (tmp_path / "certs" / "server.key").write_text("no key")
    ports = ("--port", "0", "--mtls-port", "0")
    failed = run(tmp_path, "serve", "--workers", "3", *ports)
    assert failed.code == 3
    assert failed.err.count("✘") == 1
    assert "server.key" in failed.err
    assert "Traceback" not in failed.err + failed.out
    as_json = run(tmp_path, "serve", "--workers", "3", *ports, "--json")
    assert (as_json.code, as_json.error["message"] != "") == (3, True)


def test_a_worker_that_cannot_come_back_is_tried_ever_more_slowly(tmp_path: Path) -> None:
    """While the others serve; and once it can, it does."""
    with running(tmp_path, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        key = server.file("server.key")
        good = key.read_text()
        key.write_text("no key")
        ended = len(crew.ended(server))
        os.kill(crew.workers(server)[2], signal.SIGKILL)
        eventually(lambda: len(crew.ended(server)) >= ended + 4, lambda: server.log)
        assert tokens.ask_as(server, "bot").status_code == 200
        key.write_text(good)
        eventually(lambda: readiness(server) == 200, lambda: server.log)


def test_a_handshake_that_began_before_a_reload_is_completed(server: Running) -> None:
    """A client that connected to the old worker and has not spoken yet gets its token there."""
    context = server.tls(server.file("bot.crt"))
    pending = [socket.create_connection(("127.0.0.1", server.mtls_port), TIMEOUT) for _ in range(6)]
    time.sleep(0.3)  # accepted by now
    done = server.log.count("event=reload.done")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: server.log.count("event=reload.done") > done, lambda: server.log)
    for raw in pending:
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            assert ask(connection, token_request("bot")).status == 200
