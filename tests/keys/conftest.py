"""A real database for each test of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store import schema
from app.store.engine import Database


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A fresh SQLite file, migrated to this release's schema."""
    url = f"sqlite:///{tmp_path / 'certbound.db'}"
    schema.upgrade(url)
    return url


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """That database, open."""
    opened = Database(database_url)
    yield opened
    opened.dispose()
