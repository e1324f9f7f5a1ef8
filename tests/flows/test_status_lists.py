"""A resource that reads status lists: four processes, one database, and any of them tells the truth."""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from app.jose import jwt
from app.jose.base64url import decode
from tests.kit import ledger, tokens, unhurried
from tests.kit.running import Running, certbound, running

PROCESSES = 4
ISSUER = "https://localhost:8443"
"""Of all processes: four doors of one server."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Servers on one home, hence one database, each on ports of its own."""
    home = tmp_path_factory.mktemp("home")
    certbound(home, "quickstart")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running(home, program=unhurried.PROGRAM, quickstart=False, issuer=ISSUER)
            )
            for _ in range(PROCESSES)
        ]


def issue(server: Running) -> dict[str, Any]:
    """The claims of a new token of ``bot``, from this process."""
    token = tokens.issued(tokens.ask_as(server, "bot"))
    return dict(jwt.unverified(token)[1])


class Resource:
    """Fetches lists from one process, on a connection that stays open, as anybody may."""

    def __init__(self, server: Running) -> None:
        self.port = server.port
        self.http = httpx2.Client(verify=server.tls(), timeout=60, trust_env=False)

    def fetch(self, claims: dict[str, Any]) -> httpx2.Response:
        """The list of a token, whoever issued it."""
        uri: str = claims["status"]["status_list"]["uri"]
        assert uri.startswith(ISSUER)
        return self.http.get(uri.replace(":8443", f":{self.port}"))

    def is_revoked(self, claims: dict[str, Any]) -> bool:
        """The bit of a token, read as the specification has it."""
        answer = self.fetch(claims)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/statuslist+jwt"
        listed = jwt.unverified(answer.text)[1]
        place = claims["status"]["status_list"]
        assert listed["sub"] == place["uri"]
        octets = zlib.decompress(decode(listed["status_list"]["lst"]))
        return bool(octets[place["idx"] // 8] >> place["idx"] % 8 & 1)


@pytest.fixture(scope="module")
def readers(processes: list[Running]) -> Iterator[list[Resource]]:
    """One resource at each process."""
    found = [Resource(each) for each in processes]
    yield found
    for each in found:
        each.http.close()


def test_every_process_knows_every_list(processes: list[Running], readers: list[Resource]) -> None:
    """Each process has a list of its own, and gives those of the others too."""
    issued = [issue(each) for each in processes]
    assert len({one["status"]["status_list"]["uri"] for one in issued}) == PROCESSES
    assert not any(reader.is_revoked(one) for reader in readers for one in issued)


@pytest.mark.parametrize("round_", range(5))
def test_revoked_is_revoked_at_the_next_fetch(
    processes: list[Running], readers: list[Resource], round_: int
) -> None:
    """From every process, though each gave out the list a moment before; no other bit is set."""
    operator = processes[round_ % PROCESSES]
    one, other = (issue(processes[(round_ + 1) % PROCESSES]) for _ in range(2))
    for reader in readers:
        assert not reader.is_revoked(one)
    operator.certbound("revoke", "token", one["jti"])
    assert [reader.is_revoked(one) for reader in readers] == [True] * PROCESSES
    assert [reader.is_revoked(other) for reader in readers] == [False] * PROCESSES


def test_a_certificate_takes_all_its_tokens_along(
    processes: list[Running], readers: list[Resource]
) -> None:
    """Issued by whichever process, on whichever list: revoked at the next fetch from any."""
    issued = [issue(each) for each in processes]
    assert not any(reader.is_revoked(one) for reader in readers for one in issued)
    file = str(processes[0].file("bot.crt"))
    page = processes[0].certbound_json("revoke", "cert", file)
    assert page["tokens"]["count"] >= PROCESSES
    assert all(reader.is_revoked(one) for reader in readers for one in issued)
    processes[0].certbound("revoke", "undo", file)
    assert all(reader.is_revoked(one) for reader in readers for one in issued)


def test_a_stranger_learns_nothing(processes: list[Running], readers: list[Resource]) -> None:
    """Invented ids are not found, and leave no trace in the audit trail."""
    before = ledger.traces(processes[0].home)
    for path in ("A" * 16, "A" * 15, "../token", "%2e%2e"):
        answer = readers[0].http.get(f"https://localhost:{readers[0].port}/status-lists/{path}")
        assert answer.status_code in (404, 405)
        assert "error_ref" not in answer.text
    assert ledger.traces(processes[0].home) == before
