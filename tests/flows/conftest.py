"""One real server per test process, which journeys share: each adds clients of its own to it."""

from collections.abc import Iterator

import pytest

from tests.kit import unhurried
from tests.kit.hosting import host
from tests.kit.running import Running, running
from tests.kit.world import World


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What quickstart left, serving. No test may change client ``bot`` or the trust set ``default``."""
    with running(tmp_path_factory.mktemp("home"), program=unhurried.PROGRAM) as started:
        yield started


@pytest.fixture(scope="session")
def world(server: Running, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The kit's world of certificates, its clients registered with the server."""
    made = World()
    host(server, made, tmp_path_factory.mktemp("world"))
    return made
