"""The operations listener: what watches the server asks there, over plain HTTP, and gets no more."""

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.ops import listener
from tests.kit import tokens
from tests.kit.issuing import issue
from tests.kit.running import Running, clean_environment, free_ports, running
from tests.kit.scrape import at, samples

SELF_SIGNED = ("--method", "self_signed_tls_client_auth")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with an operations listener; its client ``short`` has a certificate for an hour."""
    [port] = free_ports(1)
    with running(tmp_path_factory.mktemp("home"), ops_port=str(port)) as server:
        cert = issue(server.home / "certs", "short", self_signed=True)
        server.certbound("client", "add", "short", *SELF_SIGNED, "--cert", str(cert))
        yield server


def _end_of_server(server: Running) -> float:
    """When the certificate that the server presents ends."""
    with (
        socket.create_connection(("127.0.0.1", server.port), 20) as raw,
        server.tls().wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        presented = connection.getpeercert()
    assert presented is not None
    return ssl.cert_time_to_seconds(str(presented["notAfter"]))


def test_what_is_told(watched: Running) -> None:
    """Up, ready, the ends of the server's and the clients' certificates and of the anchors."""
    found, now = samples(watched), time.time()
    assert found["certbound_ready",] == 1
    assert found["certbound_database_up",] == 1
    ending = [found["certbound_client_certificates_ending", w] for w in ("ended", "1d", "30d")]
    assert ending == [0, 1, 1]
    first = found["certbound_client_certificates_first_not_after_seconds",]
    assert now < first <= now + 3600
    assert found["certbound_server_certificate_not_after_seconds",] == _end_of_server(watched)
    assert found["certbound_trust_anchors_first_not_after_seconds", "default"] > now
    assert now - 3600 < found["certbound_signing_key_current_since_seconds",] <= now
    assert found["process_resident_memory_bytes",] > 0


def test_only_there(watched: Running) -> None:
    """Metrics are not on the main listener, tokens not on this one; health is on both."""
    with watched.client("bot") as main:
        assert main.get(f"{watched.issuer}/metrics").status_code == 404
        for path in ("/livez", "/readyz"):
            here = httpx2.get(f"{at(watched)}{path}", trust_env=False, timeout=60)
            there = main.get(f"{watched.issuer}{path}")
            assert here.status_code == there.status_code == 200
            assert here.json()["status"] == there.json()["status"]
    for path in ("/token", "/jwks", "/", "/metrics/"):
        assert httpx2.get(f"{at(watched)}{path}", trust_env=False, timeout=60).status_code == 404
    assert httpx2.post(f"{at(watched)}/metrics", trust_env=False, timeout=60).status_code == 405


def _took(connection: socket.socket, octets: bytes) -> bool:
    """Whether the other side reads all of it and answers."""
    try:
        connection.sendall(octets)
        return bool(connection.recv(1))
    except OSError:  # reset
        return False


def test_an_endless_request_is_cut_off(watched: Running) -> None:
    """More than a scraper ever sends ends the connection, and the server goes on."""
    port = int(watched.environment["CERTBOUND_OPS_PORT"])
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        assert not _took(connection, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    assert samples(watched)["certbound_ready",] == 1
    assert tokens.issued(tokens.ask_as(watched, "bot", "bot"))


def test_a_connection_is_for_one_request(watched: Running) -> None:
    """The answer ends the connection, so nobody holds one for long."""
    port = int(watched.environment["CERTBOUND_OPS_PORT"])
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()


def test_idle_connections_keep_no_probe_away(watched: Running) -> None:
    """However many ask nothing: the oldest ends for the newcomer, and the probe is answered."""
    port = int(watched.environment["CERTBOUND_OPS_PORT"])
    with contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            for _ in range(3 * listener.MAX_CONNECTIONS)
        ]
        for path in ("/livez", "/readyz", "/metrics"):
            assert (
                httpx2.get(f"{at(watched)}{path}", trust_env=False, timeout=60).status_code == 200
            )
        assert not _took(idle[0], b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert _took(idle[-1], b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("LocalHost.:9464", 200),
        ("127.0.0.1:9464", 200),
        ("[::1]:9464", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:9464", 421),
        ("evil.example@127.0.0.1", 421),
        ("", 421),
    ],
)
def test_no_web_page_reads_it(watched: Running, name: str, status: int) -> None:
    """A page whose name was made to lead here sends that name, and is told nothing."""
    answer = httpx2.get(
        f"{at(watched)}/metrics", headers={"Host": name}, trust_env=False, timeout=60
    )
    assert answer.status_code == status
    assert ("certbound_ready" in answer.text) is (status == 200)


def test_a_taken_port(watched: Running) -> None:
    """A second server with the same operations port does not start, and the setting is named."""
    ports = free_ports(2)
    done = serve(watched.home, watched, port=str(ports[0]), mtls_port=str(ports[1]))
    assert done.returncode == 3
    assert "the operations listener cannot listen" in done.stderr
    assert "--ops-port" in done.stderr
    assert "Traceback" not in done.stderr


def serve(home: Path, server: Running, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Try to serve `home` beside `server`, with these settings instead of its own."""
    own = {f"CERTBOUND_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "app", "serve", "--home", str(home)],
        env={**clean_environment(), **server.environment, **own},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_where_it_listens_is_announced(watched: Running) -> None:
    """The start tells where to scrape."""
    assert f"✔ metrics: {at(watched)}/metrics" in watched.log


def test_none_at_all(server: Running) -> None:
    """With ops_port = 0 there is no such listener, and nothing says there were."""
    assert server.environment["CERTBOUND_OPS_PORT"] == "0"
    assert "metrics" not in server.log
