"""What tests of the store share: a registered client, and journals that end with the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.store import clients, registry
from app.store.clients import ClientRow
from app.store.engine import Database
from app.store.journal import Journal
from app.store.registry import Snapshots
from tests.store.decisions import Made, View, view


@pytest.fixture
def bot_row() -> ClientRow:
    """A client, not yet registered."""
    return ClientRow(
        client_id="bot",
        auth_method="tls_client_auth",
        subject_attribute="san_dns",
        subject_value=b"bot.example",
        subject_text="Bot.example",
        collision_key="bot.example",
        grants=("client_credentials",),
        scopes=("read", "write"),
        resources=("https://localhost:9444",),
        trust_sets=("default",),
        created_at=1,
        updated_at=1,
    )


@pytest.fixture
def bot(db: Database, bot_row: ClientRow) -> ClientRow:
    """A registered client."""
    with registry.change(db) as conn:
        assert clients.add(conn, bot_row)
    return bot_row


@pytest.fixture
def journal_of(
    db: Database, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Journal[View, Made]]]:
    """Makes started journals on the test's database, where `bot` is registered."""
    request.getfixturevalue("bot")
    made: list[Journal[View, Made]] = []

    def start(database: Database = db, **options: Any) -> Journal[View, Made]:
        journal: Journal[View, Made] = Journal(database, Snapshots(database, view), **options)
        journal.start()
        made.append(journal)
        return journal

    yield start
    for journal in made:
        journal.close(10)
