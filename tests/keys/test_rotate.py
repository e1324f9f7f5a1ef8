"""`app.keys.rotate` on a real database: one new key whatever races, and every act audited."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from app.jose.algorithms import ALGORITHMS
from app.jose.jwk import thumbprint
from app.keys.ring import KeyRing
from app.keys.rotate import Rotation, TooEarly, ensure_keys, rotate, upkeep
from app.keys.schedule import LONGEST_TOKEN, PUBLISH_BEFORE, SKEW, Due
from app.keys.seal import SealingError, SealingKey
from app.store import audit, registry, signing_keys
from app.store.engine import Database
from app.store.signing_keys import SigningKeyRow

SEALING = SealingKey(b"s" * 32, "a test")
NOW = 1_800_000_000
LIFETIME = 90 * 86_400


def keys(db: Database) -> dict[str, list[SigningKeyRow]]:
    """The stored keys by state."""
    found: dict[str, list[SigningKeyRow]] = {"next": [], "current": [], "retired": []}
    with db.read() as conn:
        for row in signing_keys.listed(conn):
            found[row.state].append(row)
    return found


def events(db: Database) -> list[tuple[str, dict[str, Any]]]:
    """The audit entries so far: name and details."""
    with db.read() as conn:
        bodies = [json.loads(entry.body) for entry in audit.tail(conn, 100)]
    return [(body["event"], body["details"]) for body in bodies]


def version(db: Database) -> int:
    """The registry's version."""
    with db.read() as conn:
        return registry.version(conn)


def begin(db: Database, algorithm: str = "ES256", now: int = NOW) -> Due:
    """The first start of a server."""
    return ensure_keys(db, SEALING, algorithm, now, actor="server")


def tend(db: Database, now: int, algorithm: str = "ES256", token_lifetime: int = 300) -> Due:
    """One round of a running server."""
    return upkeep(
        db,
        SEALING,
        algorithm,
        now,
        lifetime=LIFETIME,
        token_lifetime=token_lifetime,
        actor="server",
    )


def turn(
    db: Database, now: int = NOW, *, force: bool = False, token_lifetime: int = 300
) -> Rotation:
    """``certbound key rotate``."""
    return rotate(
        db, SEALING, "ES256", now, token_lifetime=token_lifetime, actor="root", force=force
    )


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_first_start_makes_two_keys(db: Database, algorithm: str) -> None:
    """One signs, one stands ready, and the ring opens; both acts are on record."""
    assert begin(db, algorithm) == Due(create=2)
    stored = keys(db)
    (current,), (following,) = stored["current"], stored["next"]
    assert stored["retired"] == []
    assert current.activated_at == NOW
    assert following.published_at == NOW
    ring = KeyRing.from_rows([current, following], SEALING)
    assert (ring.current.kid, ring.current.algorithm) == (current.kid, algorithm)
    assert events(db) == [
        ("key.added", {"kid": current.kid, "algorithm": algorithm}),
        ("key.rotated", {"kid": current.kid}),
        ("key.added", {"kid": following.kid, "algorithm": algorithm}),
    ]


def test_a_second_start_changes_nothing(db: Database) -> None:
    """Neither keys nor the registry's version: no other process has to read anything."""
    begin(db)
    before, seen = keys(db), version(db)
    assert not begin(db)
    assert not begin(db, "EdDSA")
    assert not tend(db, NOW + 60)
    assert keys(db) == before
    assert version(db) == seen


def test_kid_is_the_thumbprint_and_the_private_half_is_sealed(db: Database) -> None:
    """The kid follows from the public key; the row holds no private member in the clear."""
    begin(db)
    for row in (*keys(db)["current"], *keys(db)["next"]):
        public = json.loads(row.public_jwk)
        assert row.kid == thumbprint(public)
        assert set(public) == {"kty", "crv", "x", "y"}
        assert SEALING.open(row.kid, row.algorithm, row.sealed)


def test_rotation_moves_each_key_one_step(db: Database) -> None:
    """Next signs, current retires until its last token has expired, a new next is published."""
    begin(db)
    before = keys(db)
    later = NOW + PUBLISH_BEFORE
    done = turn(db, later)
    after = keys(db)
    assert done == Rotation(done=True, current=before["next"][0].kid, early_by=0)
    assert [row.kid for row in after["current"]] == [before["next"][0].kid]
    assert [row.kid for row in after["retired"]] == [before["current"][0].kid]
    assert after["retired"][0].retired_at == later
    assert after["retired"][0].remove_after == later + LONGEST_TOKEN + SKEW
    assert after["next"][0].published_at == later
    assert after["next"][0].kid not in {before["next"][0].kid, before["current"][0].kid}
    assert [name for name, _ in events(db)[-2:]] == ["key.rotated", "key.added"]


def test_longer_tokens_keep_the_retired_key_longer(db: Database) -> None:
    """The retired key outlives the longest token it may have signed."""
    begin(db)
    turn(db, force=True, token_lifetime=10 * LONGEST_TOKEN)
    assert keys(db)["retired"][0].remove_after == NOW + 10 * LONGEST_TOKEN + SKEW


def test_an_unpublished_key_is_not_used_unless_forced(db: Database) -> None:
    """Verifiers have a day to learn of a key; an operator may insist, and is told the price."""
    begin(db)
    with pytest.raises(TooEarly) as caught:
        turn(db, NOW + PUBLISH_BEFORE - 5)
    assert caught.value.wait == 5
    assert keys(db)["retired"] == []
    assert turn(db, NOW + PUBLISH_BEFORE - 5, force=True).early_by == 5
    assert len(keys(db)["retired"]) == 1


def test_rotating_an_empty_database_makes_keys_first(db: Database) -> None:
    """The command works before the first start too."""
    assert turn(db, force=True).done
    assert [len(keys(db)[state]) for state in ("next", "current", "retired")] == [1, 1, 1]


def test_upkeep_follows_the_schedule(db: Database) -> None:
    """Rotation at the end of the lifetime, removal when the last token has expired."""
    begin(db)
    first = keys(db)
    assert not tend(db, NOW + LIFETIME - 1)
    assert tend(db, NOW + LIFETIME) == Due(promote=first["next"][0].kid, create=1)
    assert not tend(db, NOW + LIFETIME + LONGEST_TOKEN + SKEW - 1)
    old = first["current"][0].kid
    assert tend(db, NOW + LIFETIME + LONGEST_TOKEN + SKEW) == Due(expired=(old,))
    assert keys(db)["retired"] == []
    assert events(db)[-1] == ("key.removed", {"kid": old, "why": "its last token has expired"})


def test_a_changed_algorithm_takes_over_without_surprise(db: Database) -> None:
    """The next key is replaced at once, used after a day; the old current retires as always."""
    begin(db)
    unused = keys(db)["next"][0].kid
    assert tend(db, NOW + 60, "EdDSA") == Due(withdraw=unused, create=1)
    assert keys(db)["next"][0].algorithm == "EdDSA"
    assert keys(db)["current"][0].algorithm == "ES256"
    assert keys(db)["retired"] == []
    assert not tend(db, NOW + 60 + PUBLISH_BEFORE - 1, "EdDSA")
    assert tend(db, NOW + 60 + PUBLISH_BEFORE, "EdDSA").promote
    assert keys(db)["current"][0].algorithm == "EdDSA"
    names = [name for name, _ in events(db)]
    assert names[3:] == ["key.removed", "key.added", "key.rotated", "key.added"]


def test_another_sealing_key_adds_nothing(db: Database) -> None:
    """A process with the wrong sealing key must not add keys that the others cannot open."""
    begin(db)
    before = keys(db)
    wrong = SealingKey(b"w" * 32, "wrong.key")
    with pytest.raises(SealingError, match=r"wrong\.key"):
        rotate(db, wrong, "ES256", NOW, token_lifetime=300, actor="root", force=True)
    with pytest.raises(SealingError, match=r"wrong\.key"):
        upkeep(db, wrong, "ES256", NOW + LIFETIME, lifetime=LIFETIME, token_lifetime=300, actor="x")
    assert keys(db) == before


def test_a_failed_audit_entry_undoes_the_act(sqlite_url: str) -> None:
    """What cannot be recorded does not happen."""
    db = Database(sqlite_url)
    begin(db)
    before, seen = keys(db), version(db)
    with db.begin() as conn:
        conn.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    with pytest.raises(IntegrityError, match="no room"):
        turn(db, force=True)
    assert keys(db) == before
    assert version(db) == seen
    db.dispose()


def test_every_rotation_is_a_registry_change(db: Database) -> None:
    """Journals on all nodes decide again before they commit a token under the old key."""
    begin(db)
    seen = version(db)
    turn(db, force=True)
    assert version(db) == seen + 1
