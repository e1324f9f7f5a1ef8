"""Two nodes with two workers each on one PostgreSQL: one registry, one signing key, no late token.

`CERTBOUND_TEST_ROUNDS` says how often a certificate is revoked; 200 is the full form.
"""

import os
import shutil
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.kit import crew, figures, hunting, timing, unhurried
from tests.kit import tokens as kit
from tests.kit.crew import eventually
from tests.kit.postgres import PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady

ROUNDS = int(os.environ.get("CERTBOUND_TEST_ROUNDS", "8"))
ISSUER = "https://localhost:8443"
"""Of both: they are one server to their clients."""


@pytest.fixture
def nodes(cluster_url: str, home: Path, tmp_path: Path) -> Iterator[list[Running]]:
    """Homes of their own with the same keys, one database."""
    environment = {"CERTBOUND_DATABASE_URL": cluster_url}
    certbound(home, "quickstart", environment=environment)
    shutil.copytree(home, tmp_path / "second")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(
                    each,
                    program=unhurried.PROGRAM,
                    quickstart=False,
                    database_url=cluster_url,
                    issuer=ISSUER,
                    workers="2",
                    access_token_lifetime=hunting.LIFETIME,
                )
            )
            for each in (home, tmp_path / "second")
        ]
        for node in started:
            eventually(partial(_complete, node))
        yield started


def _complete(node: Running) -> bool:
    return len(crew.ready(node)) == 2


def _reloaded(node: Running) -> bool:
    return "event=reload.done" in node.log


@pytest.mark.timeout(300 + 3 * ROUNDS)
def test_no_token_after_a_revocation_returned(nodes: list[Running]) -> None:
    """In no round, from no worker of either node: neither an answer nor a record."""
    hunting.register(nodes[0])
    for name in ("hunted.crt", "hunted.key"):
        shutil.copy(nodes[0].file(name), nodes[1].file(name))
    figures.tell("two nodes", hunting.hunt([*nodes, *nodes, *nodes], ROUNDS))


def test_two_nodes_rotate_at_once(nodes: list[Running]) -> None:
    """One new key; each worker of both nodes signs with it, and tokens of the old one verify."""
    before = {kit.header(kit.issued(kit.ask_as(node, "bot")))["kid"] for node in nodes}
    assert len(before) == 1
    results = []

    def rotate(node: Running) -> None:
        results.append(
            certbound(node.home, "key", "rotate", "--force", "--json", environment=node.environment)
        )

    with_load = Steady(nodes, threads=4)
    with with_load.running():
        threads = [threading.Thread(target=rotate, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with_load.wait(50)
    assert len(results) == 2
    after = {
        kit.header(kit.issued(kit.ask_as(node, "bot")))["kid"] for node in nodes for _ in range(6)
    }
    assert len(after) == 1
    assert (with_load.broken, with_load.others, with_load.refused) == ([], [], 0)
    kids = [row["kid"] for row in nodes[0].certbound_json("key", "list")["keys"]]
    assert len(kids) in (3, 4), "one retired, one current, one next; twice where one came after"
    used = {kit.header(token)["kid"] for token in with_load.received}
    assert used <= before | after | set(kids)


def test_a_new_certificate_and_a_reload_under_load(
    nodes: list[Running], cluster_url: str, cluster: PostgresServer
) -> None:
    """Files exchanged and SIGHUP on both nodes at once: every request got its token."""
    load = Steady(nodes, threads=6)
    with load.running():
        for node in nodes:
            new = ("ca", "issue", "renewed", "--server", "--san-dns", "localhost")
            certbound(node.home, *new, environment=node.environment)
            for ending in ("crt", "key"):
                node.file(f"renewed.{ending}").replace(node.file(f"server.{ending}"))
            node.process.send_signal(signal.SIGHUP)
        for node in nodes:
            eventually(partial(_reloaded, node), lambda: nodes[0].log + nodes[1].log)
            assert timing.timed(node, "GET", "/readyz").status == 200
        load.wait(100)
        for node in nodes:
            shown = ssl.get_server_certificate(("127.0.0.1", node.port))
            assert shown in node.file("server.crt").read_text()
    assert (load.broken, load.others, load.refused) == ([], [], 0)
    assert cluster.process is not None
    assert_recorded(cluster_url, load.received)
