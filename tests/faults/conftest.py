"""Faults on real processes: databases of the test's own, that may be killed."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store import schema
from tests.kit.postgres import PostgresServer


@pytest.fixture
def cluster() -> Iterator[PostgresServer]:
    """A PostgreSQL that this test may kill."""
    with PostgresServer().running() as server:
        yield server


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    """One that can have a replica, and asks for it only if it is told to once there is one."""
    with PostgresServer(settings={"wal_level": "replica"}).running() as server:
        yield server
        server.signal_all(signal.SIGCONT)  # a test may have frozen it


@pytest.fixture
def cluster_url(cluster: PostgresServer) -> str:
    """A migrated database there."""
    url = cluster.url(cluster.create_database())
    schema.upgrade(url)
    return url


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder
