"""The journal: durable before acknowledged, decided on the registry in force, whole or not at all."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, event

from app.audit import RequestRefused, TokenRevoked
from app.store import audit, clients, registry, tokens
from app.store.connect import PATIENCE
from app.store.engine import Database, StoreUnavailable, lock_registry
from app.store.journal import _AHEAD, _RETAKEN, Journal, JournalFull
from app.store.kept import Kept
from tests.kit.patience import until
from tests.store.chains import entries, unbroken
from tests.store.decisions import Made, View, issue

Start = Callable[..., Journal[View, Made]]


async def settle_many(journal: Journal[View, Made], count: int) -> list[Made | BaseException]:
    """Settle that many tokens at once; answers and errors."""
    work = (journal.settle(issue) for _ in range(count))
    return await asyncio.gather(*work, return_exceptions=True)


def disable_bot(url: str) -> None:
    """What another process would do."""
    other = Database(url)
    with registry.change(other) as conn:
        assert clients.disable(conn, "bot", 2)
    other.dispose()


@contextmanager
def held(db: Database) -> Iterator[Connection]:
    """The registry lock in other hands: on both databases no journal can commit."""
    with db.begin() as conn:
        lock_registry(conn, exclusive=True)
        yield conn


def test_a_settled_token_has_its_row_and_its_entry(db: Database, journal_of: Start) -> None:
    """Promise 2: what `settle` returned is on disk, in both tables."""
    made = asyncio.run(journal_of().settle(issue))
    assert made.token
    with db.read() as conn:
        assert tokens.find(conn, made.token.jti) == made.token
        (entry,) = audit.search(conn, audit.Wanted(jti=made.token.jti))
    assert (entry.event, entry.decision, entry.client_id) == ("token.issued", "issued", "bot")
    assert entry.thumbprint == made.token.thumbprint


def test_what_waits_is_committed_together(db: Database, journal_of: Start) -> None:
    """Fifty decisions taken at once cost at most two transactions, not fifty."""
    journal = journal_of()
    commits: list[Connection] = []
    event.listen(db._writer, "commit", commits.append)
    answers = asyncio.run(settle_many(journal, 50))
    assert all(isinstance(made, Made) for made in answers)
    assert len(commits) <= 2
    with db.read() as conn:
        assert len(entries(conn)) == 50
        assert unbroken(conn)


def test_of_many_who_revoke_one_token_one_is_written_down(db: Database, journal_of: Start) -> None:
    """At once or one after the other: every caller is answered, the audit has the act itself."""
    journal = journal_of()

    async def revoke(jti: str, count: int) -> None:
        def decide(view: View) -> Made:
            told = TokenRevoked(client_id="bot", jti=jti, method="tls_client_auth")
            return Made(told, None, view.version, revokes=jti)

        await asyncio.gather(*(journal.settle(decide) for _ in range(count)))

    async def work() -> str:
        made = await journal.settle(issue)
        assert made.token
        await revoke(made.token.jti, 12)
        await revoke(made.token.jti, 2)
        return made.token.jti

    jti = asyncio.run(work())
    with db.read() as conn:
        events = [entry.event for entry in audit.search(conn, audit.Wanted(jti=jti))]
        assert sorted(events) == ["token.issued", "token.revoked"]
        assert unbroken(conn)


def test_a_change_between_decision_and_commit_wins(
    db: Database, database_url: str, journal_of: Start
) -> None:
    """Promise 3: a decision made before a client was disabled is taken again, and refused."""
    journal = journal_of()
    versions: list[int] = []

    def decide(view: View) -> Made:
        made = issue(view)
        if not versions:
            disable_bot(database_url)
        versions.append(view.version)
        return made

    made = asyncio.run(journal.settle(decide))
    assert made.token is None
    assert versions == [versions[0], versions[0] + 1]
    with db.read() as conn:
        (entry,) = entries(conn)
        assert conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar() == 0
    assert entry.decision == "refused"


def test_many_decisions_are_taken_again_while_others_may_write(
    db: Database, database_url: str, journal_of: Start
) -> None:
    """A change of the registry beside a flood holds no lock for as long as the flood is judged."""
    journal, other = journal_of(), Database(database_url)
    versions: list[int] = []

    def decide(view: View) -> Made:
        if not versions:
            disable_bot(database_url)
        elif view.version != versions[0]:
            with other.begin() as conn:  # waits in vain where the journal has the lock meanwhile
                lock_registry(conn, exclusive=True)
        versions.append(view.version)
        return issue(view)

    async def flood() -> list[Made]:
        return await asyncio.gather(*(journal.settle(decide) for _ in range(_RETAKEN + 8)))

    answers = asyncio.run(flood())
    other.dispose()
    assert all(made.token is None for made in answers)
    with db.read() as conn:
        assert {entry.decision for entry in entries(conn)} == {"refused"}
        assert len(entries(conn)) == _RETAKEN + 8
        assert unbroken(conn)


def test_a_registry_that_keeps_changing_ends_no_patience(
    db: Database, database_url: str, journal_of: Start
) -> None:
    """After some tries they are taken again under the lock, and still on the version in force."""
    journal, changing = journal_of(), Database(database_url)
    seen: list[int] = []

    def decide(view: View) -> Made:
        if view.version not in seen:
            seen.append(view.version)
            if len(seen) <= _AHEAD + 1:
                with registry.change(changing) as conn:
                    clients.label(conn, "bot", len(seen), tenant=f"t{len(seen)}")
        return issue(view)

    async def flood() -> list[Made]:
        return await asyncio.gather(*(journal.settle(decide) for _ in range(_RETAKEN + 8)))

    answers = asyncio.run(flood())
    changing.dispose()
    with db.read() as conn:
        assert {made.version for made in answers} == {registry.version(conn)}


@pytest.mark.usefixtures("bot")
def test_a_fresh_registry_reaches_the_snapshots(db: Database, database_url: str) -> None:
    """What the journal had to load is the process's snapshot from then on."""
    snapshots = registry.Snapshots(db, lambda rows: View(rows.version, frozenset()))
    journal: Journal[View, Made] = Journal(db, snapshots)
    journal.start()
    before = snapshots.current.version
    disable_bot(database_url)
    assert asyncio.run(journal.settle(issue)).version == before + 1
    assert snapshots.current.version == before + 1
    assert journal.close(10)


def test_a_second_decision_that_raises_concerns_its_caller_alone(
    db: Database, database_url: str, journal_of: Start
) -> None:
    """Its error is raised as it is, nothing of it is kept, and its neighbours are settled."""
    journal = journal_of()

    def decide(view: View) -> Made:
        if "bot" not in view.enabled:
            raise LookupError("gone")
        disable_bot(database_url)
        return issue(view)

    async def both() -> list[Made | BaseException]:
        work = [journal.settle(decide), journal.settle(issue)]
        return await asyncio.gather(*work, return_exceptions=True)

    raised, settled = asyncio.run(both())
    assert isinstance(raised, LookupError)
    assert isinstance(settled, Made)
    assert settled.token is None
    with db.read() as conn:
        assert len(entries(conn)) == 1


def test_a_first_decision_that_raises_is_not_recorded(db: Database, journal_of: Start) -> None:
    """The caller hears its own error; there is nothing to write."""

    def decide(_view: View) -> Made:
        raise LookupError("unknown")

    with pytest.raises(LookupError):
        asyncio.run(journal_of().settle(decide))
    with db.read() as conn:
        assert entries(conn) == []


def test_one_failing_insert_tears_nothing(db: Database, journal_of: Start) -> None:
    """The whole batch is rolled back and told so; the next one works and the chain has no gap."""
    with db.begin() as conn:
        refuse_marked_tokens(conn)
    journal = journal_of()

    async def batch() -> list[Made | BaseException]:
        marked = journal.settle(partial(issue, scope="marked"))
        plain = [journal.settle(issue) for _ in range(3)]
        return await asyncio.gather(marked, *plain, return_exceptions=True)

    answers = asyncio.run(batch())
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert all(answer.__cause__ is not None for answer in answers if isinstance(answer, Exception))
    with db.read() as conn:
        assert entries(conn) == []
        assert conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar() == 0
    asyncio.run(settle_many(journal, 2))
    with db.read() as conn:
        assert [entry.seq for entry in entries(conn)] == [1, 2]
        assert unbroken(conn)


def refuse_marked_tokens(conn: Connection) -> None:
    """A trigger that fails exactly the INSERT of a marked row."""
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql(
            "CREATE TRIGGER marked BEFORE INSERT ON tokens WHEN NEW.scope = 'marked'"
            " BEGIN SELECT RAISE(ABORT, 'marked'); END"
        )
        return
    conn.exec_driver_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'marked'; END $$"
    )
    conn.exec_driver_sql(
        "CREATE TRIGGER marked BEFORE INSERT ON tokens FOR EACH ROW"
        " WHEN (NEW.scope = 'marked') EXECUTE FUNCTION refuse()"
    )


def test_a_commit_whose_answer_was_lost_does_not_break_the_chain(
    database_url: str, journal_of: Start
) -> None:
    """After any failure the journal looks where its stream stands before it goes on."""

    class LosesOneAnswer(Database):
        lose = False

        @contextmanager
        def begin(self, kept: Kept | None = None) -> Iterator[Connection]:
            with super().begin(kept) as conn:
                yield conn
            if self.lose:
                self.lose = False
                raise StoreUnavailable("connection lost during COMMIT")

    database = LosesOneAnswer(database_url)
    journal = journal_of(database)
    asyncio.run(settle_many(journal, 2))
    database.lose = True
    (lost,) = asyncio.run(settle_many(journal, 1))
    assert isinstance(lost, StoreUnavailable)
    asyncio.run(settle_many(journal, 2))
    with database.read() as conn:
        assert [entry.seq for entry in entries(conn)] == [1, 2, 3, 4, 5]
        assert unbroken(conn)
    database.dispose()


def test_a_busy_database_is_a_prompt_no(db: Database, journal_of: Start) -> None:
    """Somebody holds the lock: all who wait are told within the patience, not batch by batch."""
    journal = journal_of(batch_limit=1)

    async def several() -> float:
        start = asyncio.get_running_loop().time()
        answers = await settle_many(journal, 4)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        return asyncio.get_running_loop().time() - start

    with held(db):
        assert 0.75 * PATIENCE < asyncio.run(several()) < 3.5 * PATIENCE, "batch by batch: four"
    assert isinstance(asyncio.run(settle_many(journal, 1))[0], Made)


def test_a_full_queue_refuses_at_once(db: Database, journal_of: Start) -> None:
    """What cannot be queued is refused before it is decided; what was queued is kept."""
    journal = journal_of(capacity=3, batch_limit=1)

    async def flood() -> list[Made | BaseException]:
        with held(db):
            waiting = [asyncio.ensure_future(journal.settle(issue)) for _ in range(3)]
            await until(lambda: journal.depth == 2)  # the writer has one, and waits for the lock
            waiting += [asyncio.ensure_future(journal.settle(issue)) for _ in range(3)]
            await asyncio.sleep(0)
            assert journal.depth == 3
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(flood())
    assert [isinstance(answer, JournalFull) for answer in answers] == [False] * 4 + [True] * 2
    assert all(isinstance(answer, Made) for answer in answers[:4])


def test_a_caller_that_left_disturbs_nobody(db: Database, journal_of: Start) -> None:
    """A cancelled wait may leave a record behind; the others get their answers."""
    journal = journal_of()

    async def leave() -> list[Made | BaseException]:
        leaving = asyncio.ensure_future(journal.settle(issue))
        staying = asyncio.ensure_future(settle_many(journal, 3))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert all(isinstance(answer, Made) for answer in asyncio.run(leave()))
    with db.read() as conn:
        assert len(entries(conn)) in {3, 4}


def test_closing_writes_what_waits_and_takes_no_more(db: Database, journal_of: Start) -> None:
    """Every accepted decision is answered; a late one is refused, not lost."""
    journal = journal_of(batch_limit=4)

    async def closing() -> list[Made | BaseException]:
        accepted = asyncio.ensure_future(settle_many(journal, 30))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await asyncio.to_thread(journal.close, 10)
        with pytest.raises(StoreUnavailable):
            await journal.settle(issue)
        return await accepted

    assert all(isinstance(answer, Made) for answer in asyncio.run(closing()))
    with db.read() as conn:
        assert len(entries(conn)) == 30


def test_hostile_text_fails_nobody(db: Database, journal_of: Start) -> None:
    """NUL, lone surrogates and endless names are recorded, beside an innocent neighbour."""
    journal = journal_of()
    names = ["a\0b", "\ud800", "\u202e" * 300, "x" * 65_536, "\x1b[31m\r\n"]

    def refuse(name: str, _view: View) -> Made:
        refusal = RequestRefused(
            decision="refused", client_id=name, resource=name, endpoint="t", error="e", status=401
        )
        return Made(refusal, None)

    async def mixed() -> list[Made]:
        work = [journal.settle(partial(refuse, name)) for name in names]
        return await asyncio.gather(*work, journal.settle(issue))

    assert len(asyncio.run(mixed())) == 6
    with db.read() as conn:
        assert unbroken(conn)
        found = [len(audit.search(conn, audit.Wanted(client_id=name))) for name in names]
    assert found == [1] * 5
