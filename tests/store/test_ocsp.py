"""What responders said is revoked: the later answer counts, whoever brings which first."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.store import ocsp, registry, trust
from app.store.engine import Database
from app.store.ocsp import Asked, OcspMemory
from app.store.tables import ocsp_revoked

ONE = Asked("default", "ca-1", "a1")


@pytest.fixture(autouse=True)
def _trust_set(db: Database) -> None:
    """The set whose responder was asked."""
    with registry.change(db) as conn:
        trust.add_set(conn, "default", "", 1)


def _kept(db: Database, asked: Asked = ONE) -> int | None:
    with db.read() as conn:
        return ocsp.recall(conn, asked)


def test_a_revocation_is_kept_until_a_later_good(db: Database) -> None:
    """An older one, or one of the same moment, takes nothing back."""
    assert _kept(db) is None
    with db.begin() as conn:
        assert ocsp.learn(conn, ONE, 100, 110)
    for date in (99, 100):
        with db.begin() as conn:
            assert not ocsp.lift(conn, ONE, date)
    assert _kept(db) == 100
    with db.begin() as conn:
        assert ocsp.lift(conn, ONE, 101)
    assert _kept(db) is None
    with db.begin() as conn:
        assert not ocsp.lift(conn, ONE, 102)


def test_the_latest_revocation_is_the_one_that_is_kept(db: Database) -> None:
    """An older answer that comes late does not make room for a good in between."""
    for date, kept in ((100, 100), (200, 200), (150, 200), (200, 200)):
        with db.begin() as conn:
            assert ocsp.learn(conn, ONE, date, 300) is (date == kept)
        assert _kept(db) == kept
    with db.begin() as conn:
        assert not ocsp.lift(conn, ONE, 180)


def test_each_certificate_has_its_own(db: Database) -> None:
    """Another serial or CA is another certificate."""
    with registry.change(db) as conn:
        assert ocsp.learn(conn, ONE, 100, 110)
    for change in ({"serial": "a2"}, {"issuer_key": "ca-2"}):
        assert _kept(db, replace(ONE, **change)) is None


def test_what_one_set_learned_counts_in_all_of_the_same_ca(db: Database) -> None:
    """The latest date of all, until a good that is later than every one, wherever it was said."""
    other, third = replace(ONE, trust_set="other"), replace(ONE, trust_set="third")
    with registry.change(db) as conn:
        trust.add_set(conn, "other", "", 1)
        assert ocsp.learn(conn, ONE, 100, 110)
        assert ocsp.learn(conn, other, 200, 210)
    assert [_kept(db, each) for each in (ONE, other, third)] == [200] * 3
    with db.begin() as conn:
        assert ocsp.lift(conn, third, 150)
    assert [_kept(db, each) for each in (ONE, other, third)] == [200] * 3
    with db.begin() as conn:
        assert ocsp.lift(conn, ONE, 201)
    assert _kept(db, other) is None


def test_rows_go_with_their_trust_set(db: Database) -> None:
    """And for a set that is gone nothing is kept."""
    with db.begin() as conn:
        assert ocsp.learn(conn, ONE, 100, 110)
    with registry.change(db) as conn:
        assert trust.remove_set(conn, "default")
    with db.begin() as conn:
        assert conn.execute(select(ocsp_revoked)).all() == []
        assert not ocsp.learn(conn, ONE, 100, 110)


@pytest.mark.usefixtures("unhurried")
def test_of_many_processes_the_latest_wins(db: Database, database_url: str) -> None:
    """Whatever the order in which their answers arrive."""
    dates = list(range(100, 140))

    def bring(start: int) -> None:
        own = Database(database_url)
        memory = OcspMemory(own)
        for date in dates[start::4]:
            memory.learn(*_words(ONE), date)
            memory.lift(*_words(ONE), date - 1)
        own.dispose()

    threads = [threading.Thread(target=bring, args=(start,)) for start in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert _kept(db) == dates[-1]


def test_who_may_not_write_reads(db: Database) -> None:
    """The doctor sees what is kept, and changes nothing of it."""
    reader = OcspMemory(db, writes=False)
    reader.learn(*_words(ONE), 100)
    assert reader.recall(*_words(ONE)) is None
    OcspMemory(db).learn(*_words(ONE), 100)
    reader.lift(*_words(ONE), 200)
    assert reader.recall(*_words(ONE)) == 100


def _words(asked: Asked) -> tuple[str, str, str]:
    return asked.trust_set, asked.issuer_key, asked.serial
