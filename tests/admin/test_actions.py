"""Operator actions on both databases: atomic, audited, decided by the database."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.admin import clients, resources
from app.admin.client_wishes import Wishes
from app.admin.desk import Desk, actor, at_desk
from app.admin.identity import by_subject
from app.admin.problem import Kind, Problem
from app.admin.trust import add as add_trust
from app.config import load
from app.pki import devca
from app.store import audit, registry
from app.store.engine import Database


@pytest.fixture
def desk(db: Database, database_url: str, tmp_path: Path) -> Desk:
    """A desk over an empty database with one trust set."""
    settings = load(tmp_path, {"database_url": database_url}, environ={}).settings
    desk = Desk(db, settings, "tester")
    add_trust(desk, "default", devca.init(tmp_path / "certs").certificate)
    return desk


def _version(desk: Desk) -> int:
    with desk.db.read() as conn:
        return registry.version(conn)


def _events(desk: Desk) -> list[str]:
    with desk.db.read() as conn:
        return [row.event for row in audit.tail(conn, 100)]


def test_each_change_raises_the_version_and_is_audited(desk: Desk) -> None:
    """One action, one registry version, one audit entry with the operator's name."""
    before = _version(desk)
    clients.add(desk, "a", by_subject("san_uri", "urn:a"), Wishes())
    clients.disable(desk, "a")
    clients.remove(desk, "a")
    assert _version(desk) == before + 3
    assert _events(desk)[-3:] == ["client.added", "client.disabled", "client.removed"]
    with desk.db.read() as conn:
        rows = audit.tail(conn, 3)
    assert {row.writer for row in rows} == {audit.ADMIN}
    assert {json.loads(row.body)["actor"] for row in rows} == {"tester"}


def test_a_refused_action_leaves_nothing(desk: Desk) -> None:
    """A refusal changes no row, no version and no audit entry."""
    clients.add(desk, "a", by_subject("san_uri", "urn:a"), Wishes())
    version, events = _version(desk), _events(desk)
    with pytest.raises(Problem):
        clients.add(desk, "b", by_subject("san_uri", "URN:A"), Wishes())
    with pytest.raises(Problem):
        clients.add(desk, "c", by_subject("san_uri", "urn:c"), Wishes(resources=("https://no",)))
    with pytest.raises(Problem):
        clients.remove(desk, "nobody")
    assert (_version(desk), _events(desk)) == (version, events)
    assert [row.client_id for row in clients.listed(desk)] == ["a"]


def test_two_look_alikes_at_once(desk: Desk) -> None:
    """Of many registrations of one subject at the same moment exactly one succeeds."""

    def add(number: int) -> bool:
        try:
            clients.add(desk, f"c{number}", by_subject("san_uri", "urn:same"), Wishes())
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(add, range(4)))
    assert sorted(outcomes) == [False, False, False, True]
    assert len(clients.listed(desk)) == 1


def test_a_repeated_action_is_quiet(desk: Desk) -> None:
    """Disabling what is disabled changes nothing and writes nothing."""
    clients.add(desk, "a", by_subject("san_uri", "urn:a"), Wishes())
    assert clients.disable(desk, "a").changed
    events = _events(desk)
    assert not clients.disable(desk, "a").changed
    assert _events(desk) == events


def test_resources_keep_their_order(desk: Desk) -> None:
    """Scopes stay in the order given, each once."""
    resources.add(desk, "https://x.example", ("b", "a", "b"))
    assert resources.listed(desk)[0].scopes == ("b", "a")


def test_a_desk_needs_a_schema(empty_url: str, tmp_path: Path) -> None:
    """A desk over an empty database is refused with the command that makes one."""
    settings = load(tmp_path, {"database_url": empty_url}, environ={}).settings
    with pytest.raises(Problem) as caught, at_desk(settings):
        pass
    assert caught.value.kind is Kind.ENVIRONMENT
    assert "certbound" in caught.value.action


def test_an_account_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without a user entry the audit names the number."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    assert actor().startswith("uid ")
