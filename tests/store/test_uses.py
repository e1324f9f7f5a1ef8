"""What certificates clients were seen with: counted with their tokens, and told again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.store import clients, credentials, notices, registry, sprawl, tokens, uses
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.engine import Database
from app.store.journal import Journal
from app.store.sprawl import Shared, Wide
from app.store.uses import DAY, DayRow, UseRow
from tests.store.decisions import THUMBPRINT, Made, View, issue, use

BOT = UseRow(
    client_id="bot",
    thumbprint=THUMBPRINT,
    subject="CN=bot,O=Example",
    issuer="CN=CA,O=Example",
    serial="2a",
    spki_sha256="spki-1",
    not_before=1,
    not_after=4_000_000_000,
    trust_set="default",
    first_used=10,
    last_used=10,
    uses=1,
)


@pytest.fixture
def _bots(db: Database, bot_row: ClientRow) -> None:
    """Five registered clients."""
    with registry.change(db) as conn:
        clients.add(conn, bot_row)
        for number in range(2, 6):
            clients.add(conn, replace(bot_row, client_id=f"bot{number}"))


def test_uses_are_added_up(db: Database) -> None:
    """Within a batch and over batches; the first stays, the last never goes back."""
    with db.begin() as conn:
        uses.record(conn, [use(at=DAY + 5), use(at=DAY - 1), use(at=DAY + 2, client_id="other")])
        uses.record(conn, [use(at=DAY + 9, trust_set="next"), use(at=DAY + 8, trust_set="next")])
        uses.record(conn, [use(at=DAY + 3, trust_set=None)])
        uses.record(conn, [])
        (row,) = uses.of_client(conn, "bot")
        assert row == replace(BOT, first_used=DAY - 1, last_used=DAY + 9, uses=5, trust_set=None)
        assert [(day.day, day.uses) for day in uses.days(conn, "bot")] == [(0, 1), (1, 4)]
        assert uses.days(conn, "bot", THUMBPRINT, since=1) == [
            DayRow(client_id="bot", thumbprint=THUMBPRINT, day=1, uses=4)
        ]
        assert uses.days(conn, "bot", "another") == []


def test_uses_are_found_by_what_names_them(db: Database) -> None:
    """By certificate, by key, by issuer and serial; the last used first."""
    with db.begin() as conn:
        uses.record(conn, [use(at=10), use(at=20, client_id="bot2"), use(at=15, thumbprint="t2")])
        assert [row.thumbprint for row in uses.of_client(conn, "bot")] == ["t2", THUMBPRINT]
        by_certificate = uses.by_thumbprint(conn, THUMBPRINT)
        assert [row.client_id for row in by_certificate] == ["bot2", "bot"]
        assert [row.last_used for row in uses.by_key(conn, "spki-1")] == [20, 15, 10]
        assert len(uses.by_serial(conn, "CN=CA,O=Example", "2a")) == 3
        assert uses.by_serial(conn, "CN=CA,O=Example", "2b") == []
        assert uses.by_key(conn, "spki-2") == []


def test_a_token_and_its_use_are_one(
    db: Database, journal_of: Callable[..., Journal[View, Made]]
) -> None:
    """As many uses as tokens, whatever shares the batch; a refusal is no use."""
    journal = journal_of()

    async def several() -> list[Made]:
        work = [journal.settle(issue) for _ in range(20)]
        work += [journal.settle(lambda view: issue(view, client_id="nobody")) for _ in range(3)]
        return await asyncio.gather(*work)

    for _ in range(2):
        asyncio.run(several())
    with db.read() as conn:
        (row,) = uses.of_client(conn, "bot")
        assert row.uses == conn.exec_driver_sql("SELECT count(*) FROM tokens").scalar() == 40
        assert sum(day.uses for day in uses.days(conn, "bot")) == 40
        assert uses.of_client(conn, "nobody") == []
        (wide,) = sprawl.wide(conn, 0)
        assert wide.resources == ("https://localhost:9444",)


def test_a_use_is_not_kept_where_its_token_is_not(
    db: Database, journal_of: Callable[..., Journal[View, Made]]
) -> None:
    """A token that cannot be recorded leaves no trace in either."""
    journal = journal_of()
    made = asyncio.run(journal.settle(issue))

    async def again() -> None:
        with pytest.raises(Exception, match="could not be written"):
            await journal.settle(lambda _view: made)

    asyncio.run(again())
    with db.read() as conn:
        assert uses.of_client(conn, "bot")[0].uses == 1


def test_what_was_served_is_recorded_anew_for_a_new_client_of_the_name(
    db: Database, bot: ClientRow, journal_of: Callable[..., Journal[View, Made]]
) -> None:
    """What a removed client left in the journal's memory does not hide its successor's doors."""
    journal = journal_of()
    asyncio.run(journal.settle(issue))
    with registry.change(db) as conn:
        clients.remove(conn, "bot")
        clients.add(conn, bot)
        assert sprawl.wide(conn, 0) == []
        assert uses.of_client(conn, "bot") == []
        assert uses.days(conn, "bot") == []
    asyncio.run(journal.settle(issue))
    with db.read() as conn:
        assert len(sprawl.wide(conn, 0)) == 1
        assert uses.of_client(conn, "bot")[0].uses == 1


@pytest.mark.usefixtures("_bots")
def test_only_what_was_not_replaced_expires(db: Database) -> None:
    """A successor in use silences the old one; a disabled or removed client's says nothing."""
    with registry.change(db) as conn:
        uses.record(
            conn,
            [
                use(at=10, not_after=100),
                use(client_id="bot2", at=10, not_after=90),
                use(client_id="bot2", at=11, thumbprint="new", not_after=900),
                use(client_id="bot3", at=20, not_after=80),
                use(client_id="bot3", at=11, thumbprint="new", not_after=900),
                use(client_id="bot4", at=10, not_after=100),
                use(client_id="bot5", at=10, not_after=101),
                use(client_id="gone", at=10, not_after=100),
            ],
        )
        clients.disable(conn, "bot4", 12)
        soon = uses.expiring(conn, 101)
        assert [(row.client_id, row.not_after) for row in soon] == [("bot3", 80), ("bot", 100)]
        assert uses.expiring(conn, 80) == []


@pytest.mark.usefixtures("_bots")
def test_who_depends_on_a_trust_set(db: Database) -> None:
    """Each client once, by its last use through that set, or through one issuer of it."""
    with db.begin() as conn:
        uses.record(
            conn,
            [
                use(at=10),
                use(at=20, thumbprint="t2", issuer="CN=Sub"),
                use(client_id="bot2", at=30),
                use(client_id="bot3", at=40, trust_set="other"),
                use(client_id="bot4", at=40, trust_set=None),
            ],
        )
        through = uses.last_used_by_trust(conn, "default")
        assert [(row.client_id, row.last_used) for row in through] == [("bot2", 30), ("bot", 20)]
        by_ca = uses.last_used_by_trust(conn, "default", "CN=CA,O=Example")
        assert [(row.client_id, row.last_used) for row in by_ca] == [("bot2", 30), ("bot", 10)]
        assert uses.last_used_by_trust(conn, "default", "CN=X") == []


def test_ended_certificates_are_forgotten_in_batches(db: Database) -> None:
    """With their days, resources and notices; what is good or was used since stays."""
    with db.begin() as conn:
        for name in ("a", "b", "c"):
            old = use(client_id=name, at=10, not_after=20, resource="r")
            uses.record(conn, [old])
            notices.first(conn, name, THUMBPRINT, 60, 5)
        uses.record(conn, [use(at=10, resource="r"), use(client_id="late", at=40, not_after=20)])
        assert uses.forget(conn, 30, batch=2) == 2
        assert uses.forget(conn, 30, batch=2) == 1
        assert uses.forget(conn, 30, batch=2) == 0
        for name in ("a", "b", "c"):
            assert uses.of_client(conn, name) == []
            assert uses.days(conn, name) == []
        assert [row.client_id for row in sprawl.wide(conn, 0)] == ["bot"]
        assert notices.first(conn, "a", THUMBPRINT, 60, 6)
        assert len(uses.of_client(conn, "late")) == 1


@pytest.mark.usefixtures("_bots")
def test_shared_certificates_and_keys_are_listed(db: Database) -> None:
    """Registered or used, by clients that are there; one client's two certificates are no sharing."""
    with registry.change(db) as conn:
        key = CredentialRow(
            client_id="bot3", kind="key", spki_sha256="spki-1", spki_der=b"", created_at=1
        )
        credentials.add(conn, key)
        credentials.add(conn, replace(key, client_id="bot4"))
        credentials.retire(conn, "bot4", "spki-1", 5)
        uses.record(
            conn,
            [
                use(),
                use(thumbprint="t2"),
                use(client_id="bot2"),
                use(client_id="gone"),
                use(client_id="bot5", thumbprint="t5", spki_sha256="spki-5"),
            ],
        )
        assert sprawl.shared_certificates(conn) == [
            Shared(digest=THUMBPRINT, clients=("bot", "bot2"))
        ]
        assert sprawl.shared_keys(conn) == [
            Shared(digest="spki-1", clients=("bot", "bot2", "bot3"))
        ]


def test_certificates_that_open_many_doors_are_listed(db: Database) -> None:
    """Counted per client and certificate, each resource once, long after its tokens are gone."""
    with db.begin() as conn:
        for resource in ("r1", "r2", "r3", "r1"):
            uses.record(conn, [use(resource=resource), use(client_id="bot2", resource="r1")])
        uses.record(conn, [use(thumbprint="t2", resource="r4"), use(thumbprint="t2")])
        tokens.purge_expired(conn, 4_000_000_000)
        assert sprawl.wide(conn, 2) == [
            Wide(client_id="bot", thumbprint=THUMBPRINT, resources=("r1", "r2", "r3"))
        ]
        assert sprawl.wide(conn, 3) == []


@pytest.mark.usefixtures("_bots")
def test_what_was_used_since_its_successor_appeared_expires(db: Database) -> None:
    """Another instance holds it still, whichever was used last; not after two weeks without a use."""
    end = uses.QUIET * 9
    with registry.change(db) as conn:
        for at in (10, 12):
            uses.record(conn, [use(at=at, not_after=100)])
        for at in (11, 13, 11 + uses.QUIET):
            uses.record(conn, [use(at=at, thumbprint="new", not_after=end)])
            assert [row.not_after for row in uses.expiring(conn, 101)] == [100]
        uses.record(conn, [use(at=12 + uses.QUIET, thumbprint="new", not_after=end)])
        assert uses.expiring(conn, 101) == []
