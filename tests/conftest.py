"""What every test may have: databases, SQLite files and a real PostgreSQL, and logging of its own."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app import telemetry
from app.store import connect, schema
from app.store.engine import Database
from tests.kit import figures
from tests.kit.postgres import PostgresServer

BOTH = ("sqlite", "postgresql")


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """A command run in this process sets up logging for itself, and for whoever comes after it."""
    _reset_logging()
    yield
    _reset_logging()


def _reset_logging() -> None:
    structlog.reset_defaults()
    for logger in map(logging.getLogger, telemetry.OTHERS):
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL of this test process, started by the first test that wants it."""
    with PostgresServer().running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """A migrated database to copy from."""
    name = postgres.create_database()
    schema.upgrade(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy from."""
    path = tmp_path_factory.mktemp("template") / "certbound.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    path = tmp_path / "certbound.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=BOTH)
def dialect(request: pytest.FixtureRequest) -> str:
    """Runs the test once per database."""
    return str(request.param)


@pytest.fixture
def empty_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without any table, of the test's own."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of the test's own."""
    if dialect == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever this process has write waits for its turn as long as a busy disk needs.

    For races whose promise is who wins: with `connect.PATIENCE` as it is, the last of many may give up.
    """
    monkeypatch.setattr(connect, "PATIENCE", 60)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """The same, open."""
    database = Database(database_url)
    yield database
    database.dispose()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that may take minutes begin first, so that nobody waits for one of them at the end."""
    items.sort(key=_patience, reverse=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests told, in one table; where several processes test, theirs are not here."""
    if figures.told:
        terminalreporter.section("figures")
        width = max(len(of) for of, _ in figures.told)
        for of, what in figures.told:
            terminalreporter.write_line(f"{of:<{width}}  {what}")


def _patience(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0
