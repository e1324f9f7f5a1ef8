"""A real database for each test of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.engine import Database
from app.store.tables import metadata, registry


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A fresh SQLite file with the schema and an empty registry."""
    url = f"sqlite:///{tmp_path / 'certbound.db'}"
    db = Database(url)
    with db.begin() as conn:
        metadata.create_all(conn)
        conn.execute(registry.insert().values(id=1, version=1))
    db.dispose()
    return url


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """That database, open."""
    opened = Database(database_url)
    yield opened
    opened.dispose()
