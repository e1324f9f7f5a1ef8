"""When a signing key becomes current, and when it may go: the schedule, as pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.store.signing_keys import SigningKeyRow

PUBLISH_BEFORE = 24 * 3600
"""Seconds. Our key set is cached for minutes (Cache-Control); verifiers that ignore that commonly
keep it for up to a day."""
LONGEST_TOKEN = 24 * 3600
"""Seconds: the most that `access_token_lifetime` admits, since it may have been lowered lately."""
SKEW = 60
"""Seconds that a verifier's clock may be behind; as `app.jose.jwt.LEEWAY`."""


@dataclass(frozen=True, slots=True)
class Due:
    """What should be done to the keys; false when nothing."""

    expired: tuple[str, ...] = ()
    """Retired keys to forget."""
    withdraw: str | None = None
    """A next key to forget unused: the algorithm was changed."""
    promote: str | None = None
    """The next key, to become current."""
    create: int = 0
    """New keys; where none is current or promoted, the first becomes current at once."""

    def __bool__(self) -> bool:
        return self != Due()


def due(rows: Sequence[SigningKeyRow], now: int, *, algorithm: str, lifetime: int) -> Due:
    """What the schedule asks for at `now`; `lifetime` is how long a key stays current, in seconds."""
    current, following = in_state(rows, "current"), in_state(rows, "next")
    expired = tuple(
        row.kid
        for row in rows
        if row.state == "retired" and row.remove_after is not None and row.remove_after <= now
    )
    withdraw = None
    if following is not None and following.algorithm != algorithm:
        withdraw, following = following.kid, None
    if current is None:  # nothing can sign: no time to wait for verifiers
        promote = following.kid if following else None
        return Due(expired, withdraw, promote, create=1 if promote else 2)
    if following is None:
        return Due(expired, withdraw, create=1)
    worn = now - (current.activated_at or current.created_at) >= lifetime
    if (worn or current.algorithm != algorithm) and wait(following, now) <= 0:
        return Due(expired, withdraw, following.kid, create=1)
    return Due(expired, withdraw)


def missing(rows: Sequence[SigningKeyRow]) -> Due:
    """What is needed so that one key signs and one stands ready; no more than that."""
    following = in_state(rows, "next")
    if in_state(rows, "current") is None:
        return Due(promote=following.kid if following else None, create=1 if following else 2)
    return Due(create=0 if following else 1)


def in_state(rows: Sequence[SigningKeyRow], state: str) -> SigningKeyRow | None:
    """The key in `state`, ``current`` or ``next``."""
    return next((row for row in rows if row.state == state), None)


def wait(following: SigningKeyRow, now: int) -> int:
    """Seconds until the next key has been published long enough; not positive: it has."""
    return following.published_at + PUBLISH_BEFORE - now
