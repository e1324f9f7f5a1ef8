"""Who holds a key, and who was told of an expiry: decided once, by the database."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from app.store import clients, holders, notices, registry
from app.store.clients import ClientRow
from app.store.engine import Database
from app.store.holders import HolderRow


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


def test_a_notice_is_given_once(db: Database) -> None:
    """Once per client, certificate and threshold; a removed client's are forgotten."""
    with registry.change(db) as conn:
        assert notices.first(conn, "bot", "t", 86_400, 5)
        assert not notices.first(conn, "bot", "t", 86_400, 6)
        assert notices.first(conn, "bot", "t", 3_600, 6)
        assert notices.first(conn, "bot1", "t", 86_400, 6)
        clients.remove(conn, "bot")
        assert notices.first(conn, "bot", "t", 86_400, 7)
