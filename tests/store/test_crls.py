"""CRLs: replaced whole, never by an older one, and not read with the registry."""

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from app.store import crls, registry, trust
from app.store.crls import CrlRow
from app.store.engine import Database

ROW = CrlRow(
    trust_set="default",
    issuer_key="ca-1",
    digest="d1",
    number="10",
    this_update=100,
    next_update=200,
    loaded_at=110,
    entries=2,
)


@pytest.fixture(autouse=True)
def _trust_set(db: Database) -> None:
    """The set that the lists belong to."""
    with registry.change(db) as conn:
        trust.add_set(conn, "default", "", 1)


def test_a_list_and_what_is_known_of_it(db: Database) -> None:
    """The registry has the facts, the digest leads to the bytes; partitions stand side by side."""
    part = replace(ROW, partition="http://ca.example/2.crl", digest="d2", number="")
    with registry.change(db) as conn:
        assert crls.replace_crl(conn, ROW, b"one")
        assert crls.replace_crl(conn, part, b"two")
    with db.read() as conn:
        assert registry.load(conn).crls == (ROW, part)
        assert crls.crl_der(conn, "d1") == b"one"
        assert crls.crl_der(conn, "d2") == b"two"
        assert crls.crl_der(conn, "d3") is None
    with registry.change(db) as conn:
        assert crls.remove(conn, "default", "ca-1")
        assert not crls.remove(conn, "default", "ca-1")
        assert crls.listed(conn) == [part]


WIDE = 2**159


@pytest.mark.parametrize(
    ("number", "this_update", "taken"),
    [
        ("10", 100, True),
        ("11", 101, True),
        ("100", 100, True),
        ("9", 101, False),
        ("11", 99, True),
        ("10", 99, False),
        ("", 101, False),
        (str(WIDE), 100, True),
    ],
)
def test_an_older_list_is_refused(
    db: Database, number: str, this_update: int, *, taken: bool
) -> None:
    """By its number, compared as a number; of one number by its date; what is stored stays then."""
    offered = replace(ROW, digest="d2", number=number, this_update=this_update)
    with registry.change(db) as conn:
        crls.replace_crl(conn, ROW, b"one")
        assert crls.replace_crl(conn, offered, b"two") is taken
    with db.read() as conn:
        assert crls.listed(conn) == [offered if taken else ROW]
        assert crls.crl_der(conn, "d1") == (None if taken else b"one")


def test_numbers_beyond_any_integer_are_compared(db: Database) -> None:
    """RFC 5280 allows twenty octets."""
    with registry.change(db) as conn:
        assert crls.replace_crl(conn, replace(ROW, number=str(WIDE)), b"one")
        assert not crls.replace_crl(conn, replace(ROW, number=str(WIDE - 1)), b"two")
        assert crls.replace_crl(conn, replace(ROW, number=str(WIDE + 1)), b"three")


def test_a_number_is_spelled_one_way(db: Database) -> None:
    """Else two spellings of one number would compare as different."""
    with registry.change(db) as conn:
        for number in ("010", "-1", "1e3", "x", " 1", "\u0661"):
            with pytest.raises(ValueError, match=r"."):
                crls.replace_crl(conn, replace(ROW, number=number), b"one")
        assert crls.listed(conn) == []


def test_a_list_belongs_to_a_set(db: Database) -> None:
    """None for an unknown set; with its set it goes."""
    with pytest.raises(IntegrityError), registry.change(db) as conn:
        crls.replace_crl(conn, replace(ROW, trust_set="x"), b"one")
    with registry.change(db) as conn:
        crls.replace_crl(conn, ROW, b"one")
        trust.remove_set(conn, "default")
        assert crls.listed(conn) == []


def test_of_two_that_replace_at_once_the_newer_stays(db: Database) -> None:
    """Whoever comes last: the database compares, not who read before."""
    with registry.change(db) as conn:
        crls.replace_crl(conn, ROW, b"one")
    outcomes: dict[str, bool] = {}

    def offer(number: str) -> None:
        with registry.change(db) as conn:
            outcomes[number] = crls.replace_crl(conn, replace(ROW, number=number), b"x")

    threads = [threading.Thread(target=offer, args=(str(n),)) for n in (12, 14, 13, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["14"]
    with db.read() as conn:
        assert crls.listed(conn)[0].number == "14"


def test_a_large_list_does_not_slow_the_registry(db: Database) -> None:
    """20 MB beside it: the facts are read without walking the bytes."""
    with registry.change(db) as conn:
        crls.replace_crl(conn, ROW, bytes(range(256)) * 80_000)
    with db.read() as conn:
        registry.load(conn)
        took = []
        for _ in range(20):
            start = time.perf_counter()
            crls.listed(conn)
            took.append(time.perf_counter() - start)
        assert min(took) < 0.01  # walking it takes as long every time, and more
