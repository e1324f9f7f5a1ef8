"""`app.keys.schedule`: what is due when, as a pure function."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.keys.schedule import LONGEST_TOKEN, PUBLISH_BEFORE, SKEW, Due, due, missing, wait
from app.store.signing_keys import SigningKeyRow

NOW = 1_800_000_000
LIFETIME = 90 * 86_400


def row(state: Any, age: int = 0, kid: str | None = None, **changes: Any) -> SigningKeyRow:
    """A key that came into its state `age` seconds ago."""
    values: dict[str, Any] = {
        "algorithm": "ES256",
        "public_jwk": "{}",
        "sealed": b"",
        "created_at": NOW - age,
        "published_at": NOW - age,
        "activated_at": None if state == "next" else NOW - age,
    }
    return SigningKeyRow(kid=kid or state, state=state, **(values | changes))


def at_now(*rows: SigningKeyRow, algorithm: str = "ES256") -> Due:
    """What is due at `NOW`."""
    return due(rows, NOW, algorithm=algorithm, lifetime=LIFETIME)


def test_an_empty_database_needs_two_keys() -> None:
    """One to sign, one to stand ready."""
    assert at_now() == missing([]) == Due(create=2)


def test_nothing_is_due_in_between() -> None:
    """A current key within its lifetime and a published next one: nothing."""
    assert not at_now(row("current", LIFETIME - 1), row("next", 10 * PUBLISH_BEFORE))
    assert not missing([row("current"), row("next")])


def test_a_worn_key_is_followed_by_a_published_one() -> None:
    """At the end of its lifetime, provided the next one was published long enough."""
    worn = row("current", LIFETIME)
    assert at_now(worn, row("next", PUBLISH_BEFORE)) == Due(promote="next", create=1)
    assert not at_now(worn, row("next", PUBLISH_BEFORE - 1))
    assert wait(row("next", PUBLISH_BEFORE - 1), NOW) == 1


def test_a_missing_next_key_is_made() -> None:
    """The schedule never promotes what it has just made."""
    assert at_now(row("current", 10 * LIFETIME)) == Due(create=1)


def test_without_a_current_key_there_is_no_time_to_wait() -> None:
    """A next key signs at once where none else can."""
    assert at_now(row("next")) == missing([row("next")]) == Due(promote="next", create=1)


def test_a_changed_algorithm_replaces_the_next_key_first() -> None:
    """The unused next key goes, one of the new algorithm is published, and rotates in time."""
    current, following = row("current"), row("next", 10 * PUBLISH_BEFORE)
    assert at_now(current, following, algorithm="EdDSA") == Due(withdraw="next", create=1)
    fresh = row("next", PUBLISH_BEFORE - 1, algorithm="EdDSA")
    assert not at_now(current, fresh, algorithm="EdDSA")
    ready = row("next", PUBLISH_BEFORE, algorithm="EdDSA")
    assert at_now(current, ready, algorithm="EdDSA") == Due(promote="next", create=1)


def test_retired_keys_go_when_their_last_token_has() -> None:
    """Not a second earlier, and one whose date is unknown never."""
    kept = row("retired", kid="kept", remove_after=NOW + 1)
    gone = row("retired", kid="gone", remove_after=NOW)
    unknown = row("retired", kid="unknown")
    rows = (row("current"), row("next"), kept, gone, unknown)
    assert at_now(*rows) == Due(expired=("gone",))


def test_a_clock_set_back_rotates_nothing() -> None:
    """Dates that lie ahead are no reason to act."""
    rows = [
        row("current", LIFETIME - 1),
        row("next", PUBLISH_BEFORE),
        row("retired", remove_after=NOW + 5),
    ]
    assert not due(rows, NOW - 3600, algorithm="ES256", lifetime=LIFETIME)


def test_the_constants_cover_what_they_claim() -> None:
    """Published longer than our own cache header says; kept longer than any token lives."""
    from app.config import Settings  # noqa: PLC0415  # for its bounds alone
    from app.endpoints.jwks import MAX_AGE  # noqa: PLC0415  # a room above this one

    bounds = Settings.model_fields["access_token_lifetime"].metadata
    assert max(b.le for b in bounds if hasattr(b, "le")) == LONGEST_TOKEN
    assert min(b.ge for b in Settings.model_fields["key_lifetime"].metadata) >= PUBLISH_BEFORE
    assert PUBLISH_BEFORE > 10 * MAX_AGE
    assert SKEW == 60


_rows = st.builds(
    row,
    st.sampled_from(["next", "current", "retired"]),
    st.integers(0, 2 * LIFETIME),
    algorithm=st.sampled_from(["ES256", "EdDSA"]),
    remove_after=st.none() | st.integers(NOW - 10, NOW + 10),
)


@given(
    st.lists(_rows, max_size=3, unique_by=lambda r: r.state), st.sampled_from(["ES256", "EdDSA"])
)
def test_what_is_due_always_makes_sense(rows: list[SigningKeyRow], algorithm: str) -> None:
    """Whatever stands in the database, an unpublished key is promoted only if none can sign."""
    wanted = at_now(*rows, algorithm=algorithm)
    states = {r.state: r for r in rows}
    if wanted.promote is not None:
        assert wanted.promote == "next"
        assert "current" not in states or wait(states["next"], NOW) <= 0
        assert states["next"].algorithm == algorithm
    assert not (wanted.promote and wanted.withdraw)
    standing_ready = "next" in states and not (wanted.promote or wanted.withdraw)
    assert standing_ready or wanted.create >= 1
