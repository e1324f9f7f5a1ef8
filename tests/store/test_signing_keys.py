"""Signing keys: one signs, one stands ready, and the database says who rotated."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import IntegrityError

from app.store import signing_keys
from app.store.engine import Database
from app.store.signing_keys import SigningKeyRow
from app.store.tables import signing_keys as table


def key(kid: str, created_at: int = 1) -> SigningKeyRow:
    """A key pair's row."""
    return SigningKeyRow(
        kid=kid,
        algorithm="ES256",
        public_jwk="{}",
        sealed=b"\0sealed\xff",
        created_at=created_at,
        published_at=created_at,
    )


def states(conn: Connection) -> dict[str, str]:
    """Which key is in which state."""
    return {row.kid: row.state for row in signing_keys.listed(conn)}


def race(db: Database, act: Callable[[Connection, int], bool]) -> list[bool]:
    """Sixteen threads act at once, each in its own transaction and without any other lock."""
    barrier = threading.Barrier(16)
    outcomes: list[bool] = []

    def run(number: int) -> None:
        barrier.wait()
        with db.begin() as conn:
            outcome = act(conn, number)
        outcomes.append(outcome)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_key_is_published_then_signs_then_retires(db: Database) -> None:
    """The whole life, with its dates."""
    with db.begin() as conn:
        assert signing_keys.insert_next(conn, key("a"))
        assert signing_keys.promote(conn, "a", at=5, remove_after=9)
        assert signing_keys.insert_next(conn, key("b", 6))
        assert signing_keys.promote(conn, "b", at=10, remove_after=20)
        old, new = signing_keys.listed(conn)
        assert (old.state, old.activated_at, old.retired_at, old.remove_after) == (
            "retired",
            5,
            10,
            20,
        )
        assert (new.state, new.activated_at, new.retired_at) == ("current", 10, None)
        assert new.sealed == b"\0sealed\xff"
        assert signing_keys.remove_expired(conn, 19) == []
        assert signing_keys.remove_expired(conn, 20) == ["a"]
        assert states(conn) == {"b": "current"}


def test_only_the_next_key_can_be_promoted(db: Database) -> None:
    """Neither an unknown key, nor the current, nor a retired one; and nothing changes."""
    with db.begin() as conn:
        for kid in ("a", "b"):
            signing_keys.insert_next(conn, key(kid))
            signing_keys.promote(conn, kid, at=1, remove_after=9)
        before = signing_keys.listed(conn)
        assert not any(
            signing_keys.promote(conn, kid, at=2, remove_after=9) for kid in ("a", "b", "c")
        )
        assert signing_keys.listed(conn) == before


def test_a_key_can_be_withdrawn(db: Database) -> None:
    """Next or current retires at once; only then may it be removed."""
    with db.begin() as conn:
        signing_keys.insert_next(conn, key("a"))
        assert not signing_keys.remove(conn, "a")
        assert signing_keys.retire(conn, "a", at=3, remove_after=3)
        assert not signing_keys.retire(conn, "a", at=4, remove_after=4)
        assert signing_keys.remove(conn, "a")
        assert states(conn) == {}


@pytest.mark.usefixtures("unhurried")
def test_sixteen_promotions_have_one_winner(db: Database) -> None:
    """Two nodes that rotate at once give one new current key (several rounds)."""
    for number in range(5):
        kid = f"key-{number}"
        with db.begin() as conn:
            assert signing_keys.insert_next(conn, key(kid))
        won = race(
            db,
            lambda conn, _, kid=kid: signing_keys.promote(  # type: ignore[misc] # -- bound now, on purpose
                conn, kid, at=7, remove_after=9
            ),
        )
        assert sorted(won) == [False] * 15 + [True]
        with db.read() as conn:
            assert states(conn)[kid] == "current"
            assert list(states(conn).values()).count("current") == 1


@pytest.mark.usefixtures("unhurried")
def test_sixteen_new_keys_have_one_winner(db: Database) -> None:
    """Two nodes that make a next key at once publish one."""
    won = race(db, lambda conn, number: signing_keys.insert_next(conn, key(f"key-{number}")))
    assert sorted(won) == [False] * 15 + [True]
    with db.read() as conn:
        assert list(states(conn).values()) == ["next"]


def test_the_index_allows_one_current_key(db: Database) -> None:
    """Even a statement that forgot the rules cannot make two keys sign."""
    with db.begin() as conn:
        signing_keys.insert_next(conn, key("a"))
        signing_keys.promote(conn, "a", at=1, remove_after=9)
        signing_keys.insert_next(conn, key("b"))
    with pytest.raises(IntegrityError), db.begin() as conn:
        conn.execute(update(table).values(state="current"))
