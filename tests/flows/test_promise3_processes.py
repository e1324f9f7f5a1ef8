"""Promise 3 with four processes under load on one SQLite file: a revoked certificate gets no token.

`CERTBOUND_TEST_ROUNDS` says how often a certificate is revoked; 200 is the full form, some 20
seconds, and `SHORT` rounds are run where it is not set.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit import hunting, unhurried
from tests.kit.running import Running, certbound, running

SHORT = 30
ROUNDS = int(os.environ.get("CERTBOUND_TEST_ROUNDS", SHORT))
PROCESSES = 4
ISSUER = "https://localhost:8443"
"""Of all processes: four doors of one server."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Servers on one home, hence one database, each on ports of its own; client ``hunted``."""
    home = tmp_path_factory.mktemp("home")
    certbound(home, "quickstart")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(
                    home,
                    program=unhurried.PROGRAM,
                    quickstart=False,
                    issuer=ISSUER,
                    access_token_lifetime=hunting.LIFETIME,
                )
            )
            for _ in range(PROCESSES)
        ]
        hunting.register(started[0])
        yield started


@pytest.mark.timeout(300 + 2 * ROUNDS)
def test_no_token_after_a_revocation_returned(processes: list[Running]) -> None:
    """In no round, from no process: neither an answer nor a record in the database."""
    print(hunting.hunt(processes, ROUNDS))  # noqa: T201 - the figures of the long form are for the record
