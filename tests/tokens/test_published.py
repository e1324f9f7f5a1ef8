"""Status lists for whoever asks: always of now, and cheap for the database."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from app.jose import jwt
from app.store import status_lists, tokens
from app.store.engine import Database, StoreUnavailable
from app.store.kept import Kept
from app.store.status_lists import StatusListRow
from app.tokens.published import KEPT, Now, PublishedLists
from app.tokens.status_document import Document
from tests.kit.decisions import NOW, ring
from tests.store.decisions import token

URL = "https://as.example/status-lists/"
LIST = StatusListRow(id="L" * 16, opened_at=NOW, ends_at=NOW + 900)


class Moment:
    """The time and key that lists are signed with, as the test says."""

    def __init__(self) -> None:
        self.now = Now(NOW, ring().current)

    def pass_(self, seconds: int) -> None:
        """Let time pass."""
        self.now = Now(self.now.at + seconds, self.now.signer)


class Counted(Database):
    """A database that counts its read transactions, and lets a test stand in one."""

    reads = 0
    at_begin: Callable[[], None] = staticmethod(lambda: None)
    at_end: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def read(self, kept: Kept | None = None) -> Any:
        """As the real one."""
        self.reads += 1
        with super().read(kept) as conn:
            self.at_begin()
            yield conn
            self.at_end()


@pytest.fixture
def db(sqlite_url: str) -> Any:
    """With one list on it."""
    database = Counted(sqlite_url)
    with database.begin() as conn:
        status_lists.put(conn, LIST)
    yield database
    database.dispose()


def lists(db: Database, moment: Moment) -> PublishedLists:
    """Of one process; lists of 64 places."""
    return PublishedLists(
        db,
        issuer="https://as.example",
        url=lambda list_id: URL + list_id,
        ttl=60,
        now=lambda: moment.now,
        size=64,
    )


def issue(db: Database, index: int) -> str:
    """A token at this place; its jti."""
    row = token(expires_at=NOW + 300)
    with db.begin() as conn:
        tokens.insert_many(conn, [_on(row, index)])
    return row.jti


def _on(row: tokens.TokenRow, index: int) -> tokens.TokenRow:
    values = {name: getattr(row, name) for name in row._fields}
    return tokens.TokenRow(**values | {"status_list": LIST.id, "status_index": index})


def revoke(db: Database, jti: str) -> None:
    """Committed when it returns."""
    with db.begin() as conn:
        assert tokens.revoke(conn, [jti], NOW) == {jti}


def lst(document: Document | None) -> str:
    """What a list says."""
    assert document is not None
    found: str = jwt.unverified(document.body.decode())[1]["status_list"]["lst"]
    return found


def test_a_signed_list_is_used_again_while_it_is_young_and_true(db: Counted) -> None:
    """Not after a revocation, not after a quarter of its time, not after the key changed."""
    moment, jti = Moment(), issue(db, 5)
    ours = lists(db, moment)

    async def play() -> None:
        first = await ours.fetch(LIST.id)
        moment.pass_(15)
        assert await ours.fetch(LIST.id) is first
        revoke(db, jti)
        second = await ours.fetch(LIST.id)
        assert lst(second) != lst(first)
        moment.pass_(16)
        third = await ours.fetch(LIST.id)
        assert (lst(third), third is second) == (lst(second), False)
        moment.now = Now(moment.now.at, ring().current.typed("another"))
        moment.now.signer.kid = "another"
        fourth = await ours.fetch(LIST.id)
        assert fourth is not None
        assert fourth.kid == "another"

    asyncio.run(play())


def test_a_purge_that_hides_a_revocation_by_number_does_not_hide_it(db: Counted) -> None:
    """As many places as before, but others: the list changes."""
    moment = Moment()
    one, other = issue(db, 5), issue(db, 6)
    ours = lists(db, moment)
    revoke(db, one)

    async def play() -> None:
        before = lst(await ours.fetch(LIST.id))
        with db.begin() as conn:
            conn.exec_driver_sql("DELETE FROM tokens WHERE jti = ?", (one,))
        revoke(db, other)
        assert lst(await ours.fetch(LIST.id)) != before

    asyncio.run(play())


def test_who_comes_during_a_read_gets_the_next_one(db: Counted) -> None:
    """A read that began before a revocation answers nobody who asked after it."""
    moment, jti = Moment(), issue(db, 5)
    ours = lists(db, moment)
    reading, go_on = threading.Event(), threading.Event()

    def stand() -> None:
        reading.set()
        go_on.wait(10)

    async def play() -> None:
        early = asyncio.create_task(ours.fetch(LIST.id))
        db.at_end = stand  # the first reader has read, and is not back yet
        assert await asyncio.to_thread(reading.wait, 10)
        db.at_end = Counted.at_end
        await asyncio.to_thread(revoke, db, jti)
        late = [asyncio.create_task(ours.fetch(LIST.id)) for _ in range(50)]
        await asyncio.sleep(0)
        go_on.set()
        before = lst(await early)
        after = {lst(await each) for each in late}
        assert len(after) == 1
        assert before not in after

    asyncio.run(play())
    assert db.reads == 2


def test_a_crowd_costs_one_transaction(db: Counted) -> None:
    """However many ask at once, for lists that exist or were invented."""
    ours = lists(db, Moment())

    async def play() -> None:
        ids = [LIST.id] * 100 + [f"{number:016d}" for number in range(100)]
        found = await asyncio.gather(*(ours.fetch(each) for each in ids))
        assert sum(each is not None for each in found) == 100

    asyncio.run(play())
    assert db.reads == 1


def test_only_so_many_are_kept(db: Counted) -> None:
    """A server whose lists nobody counted keeps the last ones fetched, and builds others anew."""
    ours = lists(db, Moment())
    rows = [
        StatusListRow(id=f"{number:016d}", opened_at=NOW, ends_at=NOW + 9)
        for number in range(KEPT + 1)
    ]
    with db.begin() as conn:
        for row in rows:
            status_lists.put(conn, row)

    async def play() -> None:
        documents = [await ours.fetch(row.id) for row in rows]
        assert await ours.fetch(rows[-1].id) is documents[-1]
        assert await ours.fetch(rows[0].id) is not documents[0]

    asyncio.run(play())


def test_a_list_ends(db: Counted) -> None:
    """When its last token has expired there is nothing left to say."""
    moment = Moment()
    ours = lists(db, moment)
    moment.pass_(900)
    assert asyncio.run(ours.fetch(LIST.id)) is None


def test_without_the_database_nothing_is_given(db: Counted) -> None:
    """Neither an old list nor none: the error, to each who waits; afterwards it works again."""
    ours = lists(db, Moment())

    def broken() -> None:
        raise StoreUnavailable("gone")

    async def play() -> None:
        first = await ours.fetch(LIST.id)
        db.at_begin = broken
        found = await asyncio.gather(
            ours.fetch(LIST.id), ours.fetch("M" * 16), return_exceptions=True
        )
        assert [type(each) for each in found] == [StoreUnavailable, StoreUnavailable]
        db.at_begin = Counted.at_begin
        assert await ours.fetch(LIST.id) is first

    asyncio.run(play())
