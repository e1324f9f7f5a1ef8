"""Look-ups: what the database says at this moment, record and registry of one state."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from sqlalchemy import Connection, event

from app.store import clients, registry, tokens
from app.store.engine import Database, StoreUnavailable
from app.store.lookup import Found, Lookups, LookupsFull
from app.store.registry import Snapshots
from app.store.tokens import TokenRow
from tests.store.decisions import View, token, view

Start = Callable[..., Lookups[View]]


@pytest.fixture
def lookups_of(db: Database, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Makes look-ups on the test's database, where `bot` is registered; started unless said."""
    request.getfixturevalue("bot")
    made: list[Lookups[View]] = []

    def make(*, start: bool = True, **options: Any) -> Lookups[View]:
        lookups: Lookups[View] = Lookups(db, Snapshots(db, view), **options)
        if start:
            lookups.start()
            made.append(lookups)
        return lookups

    yield make
    for lookups in made:
        lookups.close(10)


def recorded(db: Database, count: int = 1) -> list[TokenRow]:
    """Tokens in the database."""
    rows = [token() for _ in range(count)]
    with db.begin() as conn:
        tokens.insert_many(conn, rows)
    return rows


async def find_all(lookups: Lookups[View], *jtis: str | None) -> list[Found[View] | BaseException]:
    """All of them at once; answers and errors."""
    return await asyncio.gather(*map(lookups.find, jtis), return_exceptions=True)


def elsewhere(url: str, jti: str) -> None:
    """Another process revokes a token and disables `bot`, in one transaction."""
    other = Database(url)
    with registry.change(other) as conn:
        assert tokens.revoke(conn, [jti], 5) == {jti}
        assert clients.disable(conn, "bot", 5)
    other.dispose()


def test_a_record_and_the_registry_in_force(db: Database, lookups_of: Start) -> None:
    """The row as stored, None for a jti nobody issued, and without a jti the registry alone."""
    (row,) = recorded(db)
    lookups = lookups_of()
    found, unknown, none = asyncio.run(find_all(lookups, row.jti, "x' OR 1=1", None))
    assert isinstance(found, Found)
    assert isinstance(unknown, Found)
    assert isinstance(none, Found)
    assert (found.token, unknown.token, none.token) == (row, None, None)
    assert found.registry is unknown.registry is none.registry
    assert found.registry.enabled == {"bot"}


def test_who_waits_is_answered_together(db: Database, lookups_of: Start) -> None:
    """Three hundred look-ups at once, some of them alike, cost at most two transactions."""
    rows = recorded(db, 299)
    lookups = lookups_of()
    begun: list[Connection] = []
    event.listen(db._reader, "begin", begun.append)
    answers = asyncio.run(find_all(lookups, *(row.jti for row in rows), rows[7].jti))
    found = [answer.token for answer in answers if isinstance(answer, Found)]
    assert found == [*rows, rows[7]]
    assert len(begun) <= 2


def test_what_another_process_did_is_in_the_next_answer(
    db: Database, database_url: str, lookups_of: Start
) -> None:
    """Nothing is kept: a revocation and a change elsewhere are seen at once, and stay known."""
    (row,) = recorded(db)
    lookups = lookups_of()
    before = asyncio.run(lookups.find(row.jti))
    assert before.token is not None
    assert before.token.revoked_at is None
    elsewhere(database_url, row.jti)
    after = asyncio.run(lookups.find(row.jti))
    assert after.token is not None
    assert after.token.revoked_at == 5
    assert (after.registry.version, len(after.registry.enabled)) == (before.registry.version + 1, 0)
    assert asyncio.run(lookups.find(None)).registry is after.registry


def test_record_and_registry_are_of_one_state(
    db: Database, database_url: str, lookups_of: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between the two reads of a look-up is in neither of them."""
    (row,) = recorded(db)
    lookups = lookups_of()
    plain = tokens.find_many

    def late(conn: Connection, jtis: list[str]) -> dict[str, TokenRow]:
        elsewhere(database_url, row.jti)
        return plain(conn, jtis)

    with monkeypatch.context() as patched:
        patched.setattr(tokens, "find_many", late)
        found = asyncio.run(lookups.find(row.jti))
    assert found.token == row
    assert found.registry.enabled == {"bot"}


def test_a_full_queue_refuses_at_once(lookups_of: Start) -> None:
    """Who cannot wait is told before anything is asked; who waits is answered."""
    lookups = lookups_of(start=False, capacity=3)

    async def flood() -> list[Found[View] | BaseException]:
        waiting = asyncio.ensure_future(find_all(lookups, *[None] * 5))
        await asyncio.sleep(0.05)
        lookups.start()
        return await waiting

    answers = asyncio.run(flood())
    assert [isinstance(answer, LookupsFull) for answer in answers] == [False] * 3 + [True] * 2
    assert lookups.close(10)


def test_a_database_that_is_away_is_said_to_be(
    db: Database, lookups_of: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everyone who waits gets `StoreUnavailable`, whatever broke; then it heals by itself."""
    lookups = lookups_of(batch_limit=1)

    def away(*_: object) -> NoReturn:
        raise StoreUnavailable("away")

    def broken(*_: object) -> NoReturn:
        raise RuntimeError("a mistake")

    for name, target in (("read", Database), ("find_many", tokens)):
        with monkeypatch.context() as patched:
            patched.setattr(target, name, away if name == "read" else broken)
            answers = asyncio.run(find_all(lookups, "a", "b", None))
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    (row,) = recorded(db)
    assert asyncio.run(lookups.find(row.jti)).token == row


def test_a_caller_that_left_disturbs_nobody(db: Database, lookups_of: Start) -> None:
    """A cancelled wait is nobody's trouble."""
    (row,) = recorded(db)
    lookups = lookups_of()

    async def leave() -> Found[View]:
        leaving = asyncio.ensure_future(lookups.find(row.jti))
        staying = asyncio.ensure_future(lookups.find(row.jti))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(leave()).token == row


def test_closing_answers_who_waits_and_takes_no_more(db: Database, lookups_of: Start) -> None:
    """Every accepted caller is answered; a late one is refused."""
    (row,) = recorded(db)
    lookups = lookups_of(batch_limit=4)

    async def closing() -> list[Found[View] | BaseException]:
        accepted = asyncio.ensure_future(find_all(lookups, *[row.jti] * 30))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await asyncio.to_thread(lookups.close, 10)
        with pytest.raises(StoreUnavailable):
            await lookups.find(row.jti)
        return await accepted

    answers = asyncio.run(closing())
    assert [answer.token for answer in answers if isinstance(answer, Found)] == [row] * 30


def test_it_cannot_write(db: Database) -> None:
    """The transaction of a look-up refuses to change anything, should code ever try."""
    (row,) = recorded(db)
    with pytest.raises(Exception, match=r"(?i)read.?only"), db.read() as conn:
        tokens.revoke(conn, [row.jti], 5)
