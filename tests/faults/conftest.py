"""Faults on real processes: databases of the test's own, that may be killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store import schema
from tests.kit.postgres import PostgresServer


@pytest.fixture
def cluster() -> Iterator[PostgresServer]:
    """A PostgreSQL that this test may kill."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


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
