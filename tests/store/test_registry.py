"""The registry: versioned, loaded whole, followed by snapshots."""

import threading
from dataclasses import FrozenInstanceError

import pytest

from app.store import clients, registry, resources
from app.store.clients import ClientRow
from app.store.engine import Database, lock_registry
from app.store.registry import RegistryRows, Snapshots
from app.store.resources import ResourceRow
from tests.store.decisions import View, view


def test_everything_is_loaded(db: Database, bot: ClientRow) -> None:
    """One frozen value holds the whole registry with its version."""
    thing = ResourceRow(url="https://api.example", created_at=1, updated_at=1)
    with registry.change(db) as conn:
        resources.put(conn, thing)
    with db.read() as conn:
        rows = registry.load(conn)
    assert rows == RegistryRows(3, (bot,), (), (), (thing,), ())
    with pytest.raises(FrozenInstanceError):
        rows.version = 4  # type: ignore[misc] # -- that it is refused is the point


def test_a_change_that_fails_changes_no_version(db: Database) -> None:
    """Rolled back with all the rest."""
    with pytest.raises(LookupError), registry.change(db):
        raise LookupError
    with db.read() as conn:
        assert registry.version(conn) == 1


def test_a_snapshot_follows_on_demand(db: Database, bot: ClientRow) -> None:
    """`refresh` loads when the version moved, and says so; an old snapshot never changes."""
    snapshots = Snapshots(db, view)
    before = snapshots.current
    assert not snapshots.refresh()
    assert snapshots.current is before
    with registry.change(db) as conn:
        clients.disable(conn, bot.client_id, 2)
    assert snapshots.current is before
    assert snapshots.refresh()
    assert snapshots.current == View(before.version + 1, frozenset())
    assert before.enabled == {"bot"}


def test_a_slow_reader_does_not_put_back_the_past(db: Database) -> None:
    """What a journal published meanwhile is newer and stays."""
    building, go_on = threading.Event(), threading.Event()

    def slowly(rows: RegistryRows) -> View:
        if threading.current_thread() is reader:
            building.set()
            assert go_on.wait(10)
        return view(rows)

    snapshots = Snapshots(db, view)
    snapshots._build = slowly
    with registry.change(db):
        pass
    reader = threading.Thread(target=snapshots.refresh)
    reader.start()
    assert building.wait(10)
    with registry.change(db):
        pass
    with db.begin() as conn:
        lock_registry(conn, exclusive=False)
        snapshots.load_in(conn)
    go_on.set()
    reader.join()
    assert snapshots.current.version == 3
