"""What docker-compose.yml describes, as processes: HAProxy, two nodes, one PostgreSQL.

The nodes share a home that only tells them where things are; all that changes is in PostgreSQL,
which asks for a password from the file that compose's first step would make.
"""

import hashlib
import json
import re
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import psycopg
import pytest

from app.jose import base64url
from tests.kit import haproxy, tokens
from tests.kit.asking import posting, token_of, told
from tests.kit.crew import eventually
from tests.kit.haproxy import Haproxy
from tests.kit.postgres import PostgresServer
from tests.kit.running import ROOT, Running, certbound, free_ports, running

pytestmark = pytest.mark.skipif(haproxy.PROGRAM is None, reason=haproxy.WANTING)


@dataclass(frozen=True)
class Cluster:
    """Two nodes and what stands in front of them."""

    nodes: tuple[Running, Running]
    front: Running
    """The cluster as its clients see it: the ports are the balancer's."""
    balancer: Haproxy


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL of this module's own, whose access rules it may change."""
    with PostgresServer().running() as server:
        yield server


def locked(server: PostgresServer, home: Path) -> str:
    """A new database that asks for a password, which lies in the home; its URL."""
    name, password = server.create_database(), secrets.token_urlsafe(32)
    role = f"node_{name}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        conn.execute(f"ALTER DATABASE {name} OWNER TO {role}".encode())
    rules = server.folder / "data" / "pg_hba.conf"
    rules.write_text(f"local {name} {role} scram-sha-256\n{rules.read_text()}")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    _await_lock(server.dsn(name).replace("user=certbound", f"user={role}"))
    passfile = home / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:{name}:{role}:{password}\n")
    return f"postgresql+psycopg://{role}@/{name}?host={server.folder}&passfile={passfile}"


def _await_lock(dsn: str) -> None:
    """Until nobody gets in without a password: the signal takes effect when it is read."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError as error:
            assert "password" in str(error)  # noqa: PT017 - both outcomes are looked at
            return
        time.sleep(0.02)
    raise AssertionError("PostgreSQL lets everybody in")


@contextmanager
def cluster(database: PostgresServer, home: Path) -> Iterator[Cluster]:
    """The steps of docker-compose.yml, in its order."""
    port, mtls_port, ops_1, ops_2 = free_ports(4)
    issuer, mtls = f"https://localhost:{port}", f"https://localhost:{mtls_port}"
    url = locked(database, home)
    environment = {
        "CERTBOUND_ISSUER": issuer,
        "CERTBOUND_MTLS_BASE_URL": mtls,
        "CERTBOUND_DATABASE_URL": url,
    }
    certbound(home, "db", "upgrade", environment=environment)
    certbound(home, "quickstart", environment=environment)

    def node(ops: int) -> AbstractContextManager[Running]:
        return running(
            home,
            quickstart=False,
            issuer=issuer,
            mtls_base_url=mtls,
            database_url=url,
            ops_port=str(ops),
        )

    with (
        node(ops_1) as first,
        node(ops_2) as second,
        haproxy.haproxy((first, second), home, port, mtls_port) as balancer,
    ):
        front = replace(first, port=port, mtls_port=mtls_port)
        _await_answer(front)
        file = str(front.file("watcher.crt"))
        front.certbound("ca", "issue", "watcher", "--san-uri", "spiffe://dev.local/watcher")
        front.certbound("client", "add", "watcher", "--cert", file, "--introspect-all")
        yield Cluster((first, second), front, balancer)


def _await_answer(front: Running) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with front.client(None) as client:
                assert client.get(f"{front.issuer}/readyz").status_code == 200
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="module")
def both(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose nodes nobody kills."""
    with cluster(database, tmp_path_factory.mktemp("home")) as started:
        yield started


def active(node: Running, token: str) -> bool:
    """What this node says of it, asked directly."""
    with posting(node, "watcher") as post:
        return bool(told(post, token)["active"])


def test_one_issuer(both: Cluster) -> None:
    """Both nodes answer through the balancer, as one issuer with one key set, and bind tokens."""
    first, second = (_published(node, both.front.issuer) for node in both.nodes)
    assert first == second
    given = [tokens.issued(tokens.ask_as(both.front, "bot")) for _ in range(6)]
    der = ssl.PEM_cert_to_DER_cert(both.front.file("bot.crt").read_text())
    bound = base64url.encode(hashlib.sha256(der).digest()).decode()
    for token in given:
        claims = tokens.verified(both.front, token)
        assert (claims["iss"], claims["cnf"]["x5t#S256"]) == (both.front.issuer, bound)
    for node in ("node-1", "node-2"):
        both.balancer.await_said(f" mtls mtls_nodes/{node} ")


def _published(node: Running, issuer: str) -> list[object]:
    paths = ("/.well-known/oauth-authorization-server", "/jwks")
    with node.client(None) as client:
        answers = [client.get(f"{node.issuer}{path}").json() for path in paths]
    assert answers[0]["issuer"] == issuer
    return answers


@pytest.mark.parametrize("giver", [0, 1])
def test_revoked_at_one_is_inactive_at_the_other_at_once(both: Cluster, giver: int) -> None:
    """A token of either node is good at both, and of no use at either once revoked at the other."""
    node, other = both.nodes[giver], both.nodes[1 - giver]
    with posting(node, "bot") as post:
        token = token_of(post)
    assert active(node, token)
    assert active(other, token)
    with posting(other, "bot") as post:
        assert post("/revoke", token=token).status == 200
    assert not active(node, token)
    assert not active(other, token)


def test_a_stopped_client_is_stopped_at_both(both: Cluster) -> None:
    """The command's return is the moment: no node gives it a token, and its tokens are inactive."""
    file = str(both.front.file("leaver.crt"))
    both.front.certbound("ca", "issue", "leaver", "--san-uri", "spiffe://dev.local/leaver")
    both.front.certbound("client", "add", "leaver", "--cert", file)
    given = [tokens.issued(tokens.ask_as(node, "leaver")) for node in both.nodes]
    both.front.certbound("client", "disable", "leaver")
    for node in both.nodes:
        tokens.refused(tokens.ask_as(node, "leaver"))
        assert not any(active(node, token) for token in given)


def healthy(node: Running) -> bool:
    """What the image's health check says, run as it is written in the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK.*\\\n\s*CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    program, *arguments = json.loads(found[1])
    assert program == "python"
    port = node.environment["CERTBOUND_OPS_PORT"]
    assert sum("9464" in each for each in arguments) == 1
    command = [sys.executable, *(each.replace("9464", port) for each in arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def test_one_node_killed(database: PostgresServer, tmp_path: Path) -> None:
    """Requests go on without one that fails, and nothing that either node said is forgotten."""
    with cluster(database, tmp_path) as there:
        doomed, left = there.nodes
        given = [tokens.issued(tokens.ask_as(node, "bot")) for node in there.nodes]
        with posting(doomed, "bot") as post:
            assert post("/revoke", token=given[1]).status == 200
        assert healthy(doomed)
        doomed.process.kill()
        doomed.process.wait()
        assert not healthy(doomed)
        for _ in range(10):
            tokens.issued(tokens.ask_as(there.front, "bot"))
        there.balancer.await_said("Server mtls_nodes/node-1 is DOWN")
        for _ in range(10):
            tokens.issued(tokens.ask_as(there.front, "bot"))
        assert healthy(left)
        assert active(there.front, given[0])
        assert not active(there.front, given[1])
        there.front.certbound("audit", "verify")  # exit code 1 where the chain has a gap


def test_without_a_database_the_balancer_still_leads_to_an_answer(tmp_path: Path) -> None:
    """503 and when to come back, and the key set, though no node is ready; then tokens again."""
    with PostgresServer().running() as database, cluster(database, tmp_path) as there:
        tokens.issued(tokens.ask_as(there.front, "bot"))
        database.end(signal.SIGQUIT)
        for server in ("main_nodes", "mtls_nodes"):
            there.balancer.await_said(f"backend {server} has no server available")
        answer = tokens.ask_as(there.front, "bot")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        with there.front.client(None) as client:
            assert client.get(f"{there.front.issuer}/jwks").json()["keys"]
        database.start()
        eventually(lambda: tokens.ask_as(there.front, "bot").status_code == 200)
