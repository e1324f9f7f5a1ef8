"""Who holds a key, and who was told of an expiry: decided once, by the database."""

import asyncio
import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from app import upkeep
from app.clients.key_holders import KeyHolders
from app.store import clients, credentials, holders, notices, registry, uses
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.engine import Database, lock_registry
from app.store.holders import HolderRow
from tests.store.decisions import use


def row(client_id: str, at: int, tenant: str = "acme") -> HolderRow:
    """A holder of the key ``k``."""
    return HolderRow(spki_sha256="k", client_id=client_id, tenant=tenant, first_seen=at)


@pytest.fixture(autouse=True)
def _several(db: Database, bot: ClientRow) -> None:
    with registry.change(db) as conn:
        for number in range(8):
            clients.add(conn, replace(bot, client_id=f"bot{number}"))


def test_a_claim_tells_all_holders(db: Database) -> None:
    """The first first; claimed again nothing changes; released it is gone."""
    with db.begin() as conn:
        assert holders.claim(conn, "k", "bot", "acme", 5) == [row("bot", 5)]
        assert holders.claim(conn, "k", "bot", "acme", 9) == [row("bot", 5)]
        assert holders.claim(conn, "k", "bot1", "zeta", 6) == [
            row("bot", 5),
            row("bot1", 6, "zeta"),
        ]
        assert len(holders.claim(conn, "other", "bot1", "zeta", 7)) == 1
        assert holders.release(conn, "k", "bot")
        assert not holders.release(conn, "k", "bot")
        assert holders.of_key(conn, "k") == [row("bot1", 6, "zeta")]


@pytest.mark.parametrize("at", [5, 4], ids=["in the same second", "by a clock behind"])
def test_the_order_is_that_of_the_claims(db: Database, at: int) -> None:
    """Whatever the clients are called, and whatever the clock of the later one's node says."""
    with db.begin() as conn:
        holders.claim(conn, "k", "bot5", "acme", 5)
        for client_id in ("bot3", "bot1"):
            found = holders.claim(conn, "k", client_id, "acme", at)
            assert found[-1].client_id == client_id
    with db.read() as conn:
        order = [each.client_id for each in holders.of_key(conn, "k")]
    assert order == ["bot5", "bot3", "bot1"]


def test_a_proof_comes_before_every_mere_word(db: Database) -> None:
    """Who shows the key is first among those who only named it, and later than who showed it before."""

    def order(*claims: tuple[str, bool]) -> list[str]:
        with db.begin() as conn:
            for client_id, proven in claims:
                found = holders.claim(conn, "k", client_id, "acme", 5, proven=proven)
                assert holders.among(client_id, found, proven=proven)
            return [each.client_id for each in holders.of_key(conn, "k")]

    assert order(("bot5", False), ("bot3", False)) == ["bot5", "bot3"]
    assert order(("bot1", True)) == ["bot1", "bot5", "bot3"]
    assert order(("bot3", True)) == ["bot1", "bot3", "bot5"]
    assert order(("bot1", False), ("bot3", True)) == ["bot1", "bot3", "bot5"]
    assert order(("bot5", True), ("bot2", False)) == ["bot1", "bot3", "bot5", "bot2"]
    with db.read() as conn:
        times = [each.first_seen for each in holders.of_key(conn, "k")]
    assert len(set(times)) == len(times)


@pytest.mark.usefixtures("unhurried")
def test_of_many_that_claim_at_once_one_is_alone(db: Database) -> None:
    """Each transaction sees every claim before it: exactly one found no other holder."""
    start = threading.Barrier(4)
    seen: list[int] = []

    def claim(client_id: str) -> None:
        start.wait(10)
        with db.begin() as conn:
            seen.append(len(holders.claim(conn, "k", client_id, "", 5)))

    for _ in range(5):
        seen.clear()
        threads = [threading.Thread(target=claim, args=(f"bot{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen) == [1, 2, 3, 4]
        with db.begin() as conn:
            for number in range(4):
                holders.release(conn, "k", f"bot{number}")


def test_a_holder_goes_with_its_client(db: Database) -> None:
    """A removed client holds nothing; an unknown one cannot claim; labels move with it."""
    with registry.change(db) as conn:
        holders.claim(conn, "k", "bot", "", 5)
        holders.claim(conn, "k", "bot1", "", 6)
        assert clients.label(conn, "bot", 6, tenant="acme")
        assert holders.of_key(conn, "k") == [row("bot", 5), row("bot1", 6, "")]
        clients.remove(conn, "bot")
        assert holders.of_key(conn, "k") == [row("bot1", 6, "")]
    with pytest.raises(IntegrityError), db.begin() as conn:
        holders.claim(conn, "k", "nobody", "", 5)


@pytest.fixture
def _kept(db: Database, bot: ClientRow) -> None:
    """Keys ``spki-1`` (used), ``registered`` and ``recent``, and six that are long out of use."""
    with registry.change(db) as conn:
        for key in ("spki-1", "registered", "recent", *(f"old{n}" for n in range(6))):
            holders.claim(conn, key, bot.client_id, "", 5)
        holders.claim(conn, "recent", "bot1", "", 50)
        uses.record(conn, [use(at=90)])
        row = CredentialRow(
            client_id="bot1", kind="key", spki_sha256="registered", spki_der=b"", created_at=1
        )
        assert credentials.add(conn, row)


@pytest.mark.usefixtures("_kept")
def test_holders_of_keys_out_of_use_are_forgotten(db: Database) -> None:
    """In batches; not where one is new, or the key is registered or its use remembered, by anyone."""
    with registry.change(db) as conn:
        assert len(holders.unused(conn, 50)) == 6
        assert [holders.forget(conn, 50, batch=4) for _ in range(3)] == [4, 2, 0]
        for kept in ("spki-1", "registered", "recent"):
            assert holders.of_key(conn, kept), kept
        assert holders.of_key(conn, "old1") == []
        assert len(holders.of_key(conn, "recent")) == 2
        assert holders.forget(conn, 51) == 1, "now all claims of it are old"


@pytest.mark.usefixtures("_kept")
def test_upkeep_forgets_holders_by_the_batch(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is one registry version, so that no server goes on by memory; less waits for more."""
    monkeypatch.setattr(upkeep, "PURGE_BATCH", 4)
    now = 50 + upkeep.USES_KEPT
    with db.read() as conn:
        before = registry.version(conn)
    for _ in range(2):
        upkeep.purge(db, now)
        with db.read() as conn:
            assert registry.version(conn) == before + 1
            assert len(holders.unused(conn, 50)) == 2


@pytest.mark.parametrize("gone", ["removed", "forgotten"])
def test_memory_ends_with_the_registry_version(db: Database, gone: str) -> None:
    """What a process knows of a key's holders is read again after any claim may have gone."""
    memory = KeyHolders(db)
    first = asyncio.run(memory.claim("k", "bot", ""))
    assert [one.client_id for one in memory.known("k", "bot", first) or ()] == ["bot"]
    assert memory.known("k", "bot1", first) is None
    with registry.change(db) as conn:
        if gone == "removed":
            clients.remove(conn, "bot")
        else:
            assert holders.forget(conn, 2**40) == 1
    assert memory.known("k", "bot", first + 1) is None
    assert asyncio.run(memory.claim("k", "bot1", "")) == first + 1
    assert asyncio.run(memory.claim("k", "bot", "")) == first + 1
    known = memory.known("k", "bot", first + 1)
    if gone == "removed":
        assert known is None, "a list without the client itself"
    else:
        assert [one.client_id for one in known or ()] == ["bot1", "bot"]


def test_a_claim_that_stands_is_only_read(db: Database) -> None:
    """A restarted server writes nothing for clients that held their keys before."""
    found_at = asyncio.run(KeyHolders(db).claim("k", "bot", ""))
    restarted = KeyHolders(db)
    ways: list[str] = []
    with db.begin() as conn:  # the write lock is taken: whoever wants it too would wait

        def ask() -> None:
            ways.append(str(asyncio.run(restarted.claim("k", "bot", "")) == found_at))

        lock_registry(conn, exclusive=True)
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(2)
        assert ways == ["True"]
    asking.join()


def test_a_notice_is_given_once(db: Database) -> None:
    """Once per client, certificate and threshold; a removed client's are forgotten."""
    with registry.change(db) as conn:
        assert notices.first(conn, "bot", "t", 86_400, 5)
        assert not notices.first(conn, "bot", "t", 86_400, 6)
        assert notices.first(conn, "bot", "t", 3_600, 6)
        assert notices.first(conn, "bot1", "t", 86_400, 6)
        clients.remove(conn, "bot")
        assert notices.first(conn, "bot", "t", 86_400, 7)
