"""The audit of a real server: signed when it ends, whole when it is killed, small under a flood."""

import threading
from pathlib import Path

import pytest

from tests.kit import ledger, tokens
from tests.kit.command import call, done
from tests.kit.running import Running, desk_on, running
from tests.kit.tampering import longest, rewrite


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of the test's own."""
    return tmp_path / "home"


def busy(server: Running, count: int = 5) -> None:
    """Some tokens and some refusals."""
    with server.client("bot") as http:
        for number in range(count):
            tokens.issued(tokens.ask(http, server.mtls_token_url))
            tokens.refused(tokens.ask(http, server.mtls_token_url, f"nobody-{number}"))


def test_everything_is_signed_when_the_server_ended(home: Path) -> None:
    """Nothing is left for a later checkpoint, and the next server goes on from there."""
    for streams in (2, 3):
        with running(home) as server:
            busy(server)
        found = done(home, "audit", "verify")
        assert (found["intact"], found["unsigned"], found["streams"]) == (True, 0, streams)


def test_what_was_recorded_before_a_kill_verifies(home: Path) -> None:
    """Chained, though not signed; the next server signs it."""
    with running(home) as server:
        busy(server)
        before = done(home, "audit", "verify")["unsigned"]
        server.process.kill()
        server.process.wait()
        found = done(home, "audit", "verify")
        assert found["intact"]
        assert found["unsigned"] >= before >= 10
    with running(home):
        pass
    found = done(home, "audit", "verify")
    assert (found["intact"], found["unsigned"]) == (True, 0)


def test_a_server_does_not_sign_over_what_was_altered(home: Path) -> None:
    """It goes on serving and says so in its log; verifying says where."""
    with running(home) as server:
        busy(server)
    with desk_on(home) as desk, desk.db.begin() as conn:
        stream = longest(conn)
        rewrite(conn, stream, lambda row: row.body.replace("nobody-3", "nobody-4"))
    with running(home) as server:
        busy(server)
        assert "audit.altered" in server.log
    found = call(home, "audit", "verify", "--json").json
    assert not found["intact"]
    assert {problem["writer"] for problem in found["problems"]} == {stream}
    assert found["unsigned"] >= 10


def test_a_flood_of_refusals_leaves_few_entries(home: Path) -> None:
    """Eight clients at once; every reference explains, and their number is recorded at the end."""
    refs: set[str] = set()
    with running(home) as server:

        def flood() -> None:
            with server.client(None) as http:
                for _ in range(40):
                    refs.add(tokens.refused(tokens.ask(http, server.token_url, "nobody")))

        threads = [threading.Thread(target=flood) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for ref in refs:
            assert ledger.reason(server, ref) == "client_unknown"
    rows = [row for row in ledger.entries(home) if row.decision == "refused"]
    assert len(rows) == 12
    (shared,) = [str(row.ref) for row in rows if row.event == "requests.refused"]
    assert done(home, "explain", shared)["together"]["count"] == 310
