"""Limits on the wire: a client that asks too often, an address that opens connections too fast."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.kit import tokens
from tests.kit.running import Running, free_ports, running
from tests.kit.scrape import samples
from tests.kit.timed import eventually
from tests.kit.wire import TIMEOUT


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with narrow limits and an operations listener."""
    [port] = free_ports(1)
    with running(
        tmp_path_factory.mktemp("home"),
        ops_port=str(port),
        rate_per_client="1",
        handshakes_per_address="1",
    ) as server:
        yield server


def _shakes_hands(server: Running) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw,
            server.tls().wrap_socket(raw, server_hostname="localhost"),
        ):
            return True
    except OSError:  # ssl's errors and a reset are among them
        return False


def test_handshakes_have_a_budget(limited: Running) -> None:
    """Beyond it connections end before a handshake; a moment later there is room again."""
    done = [_shakes_hands(limited)]
    while len(set(done)) == 1 and len(done) < 10_000:
        done.append(_shakes_hands(limited))
    assert set(done) == {True, False}
    found = samples(limited)
    assert found["certbound_handshakes_total", "budget", "failed", ""] >= done.count(False)
    assert found["certbound_handshakes_total", "", "ok", "TLSv1.3"] >= done.count(True)
    assert found["certbound_open_connections",] <= len(done)
    eventually(lambda: _shakes_hands(limited))


def test_a_client_has_a_rate(limited: Running) -> None:
    """Over one connection: two seconds' worth of tokens at most, then 429 with Retry-After."""
    time.sleep(2)  # the handshakes of the test before
    with limited.client("bot") as client:
        form = {"grant_type": "client_credentials", "client_id": "bot"}
        answers = [client.post(f"{limited.issuer}/token", data=form) for _ in range(40)]
    assert answers[0].status_code == 200
    refused = [each for each in answers if each.status_code == 429]
    assert refused
    assert {each.headers["retry-after"] for each in refused} == {"1"}
    assert len(refused) + len([each for each in answers if each.status_code == 200]) == 40
    time.sleep(1.5)
    assert tokens.issued(tokens.ask_as(limited, "bot", "bot"))
