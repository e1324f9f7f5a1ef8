"""The life of a signing key: next, current, retired, gone. Decided by the database, audited.

Guarantees: a key stands in the published set for `PUBLISH_BEFORE` before it first signs, unless an
operator forces it; it stays there until its last token has expired; of any number of processes that
rotate at once, one does, and all see one new key. Each act and its audit entry are one transaction.
Does not guarantee that every verifier reads the set that often: that is up to the verifier.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cryptography.hazmat.primitives import serialization

from app.audit import Event, KeyAdded, KeyRemoved, KeyRotated
from app.jose import jwk
from app.jose.algorithms import ALGORITHMS, PrivateKey, public_jwk
from app.keys.schedule import LONGEST_TOKEN, SKEW, Due, due, in_state, missing, wait
from app.keys.seal import SealingKey
from app.store import audit, registry, signing_keys
from app.store.engine import Database
from app.store.signing_keys import SigningKeyRow


class TooEarly(Exception):
    """The next key has not been published long enough to sign. `wait` is in seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(
            f"the next signing key is published too recently; verifiers may not know it yet for "
            f"another {wait} seconds"
        )
        self.wait = wait


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A new key pair. `kid` is the public key's RFC 7638 thumbprint."""

    kid: str
    algorithm: str
    public: dict[str, str]
    private: PrivateKey

    def row(self, sealing_key: SealingKey, now: int) -> SigningKeyRow:
        """The key as it is stored, published from `now` on."""
        der = self.private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return SigningKeyRow(
            kid=self.kid,
            algorithm=self.algorithm,
            public_jwk=json.dumps(self.public),
            sealed=sealing_key.seal(self.kid, self.algorithm, der),
            created_at=now,
            published_at=now,
        )


def make_key(algorithm: str) -> SigningKey:
    """A fresh key for one of `ALGORITHMS`."""
    private = ALGORITHMS[algorithm].generate()
    public = public_jwk(private.public_key())
    return SigningKey(jwk.thumbprint(public), algorithm, public, private)


def ensure_keys(
    db: Database, sealing_key: SealingKey, algorithm: str, now: int, *, actor: str
) -> Due:
    """Make sure that one key signs and one stands ready; what was done.

    Raises:
        SealingError: there are keys, sealed with another sealing key.
        StoreUnavailable: the database does not answer.

    """
    return _Round(db, sealing_key, algorithm, now, actor).carry_out(missing)


def upkeep(
    db: Database,
    sealing_key: SealingKey,
    algorithm: str,
    now: int,
    *,
    lifetime: int,
    token_lifetime: int,
    actor: str,
) -> Due:
    """Do what `due` asks for, usually nothing; what was done. Call it every minute or so.

    Raises:
        SealingError: there are keys, sealed with another sealing key.
        StoreUnavailable: the database does not answer.

    """
    acts = _Round(db, sealing_key, algorithm, now, actor, token_lifetime)
    return acts.carry_out(lambda rows: due(rows, now, algorithm=algorithm, lifetime=lifetime))


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a rotation ended. Where another process was first, `done` is false and nothing changed."""

    done: bool
    current: str
    early_by: int
    """Seconds that the key should have been published longer; positive only if forced."""


def rotate(
    db: Database,
    sealing_key: SealingKey,
    algorithm: str,
    now: int,
    *,
    token_lifetime: int,
    actor: str,
    force: bool = False,
) -> Rotation:
    """The next key signs from now on, the current one retires, and a new next key is published.

    Raises:
        TooEarly: the next key is published for less than `PUBLISH_BEFORE`, and `force` is not set.
        SealingError: the keys are sealed with another sealing key.
        StoreUnavailable: the database does not answer.

    """
    ensure_keys(db, sealing_key, algorithm, now, actor=actor)
    with db.read() as conn:
        rows = signing_keys.listed(conn)
    current, following = in_state(rows, "current"), in_state(rows, "next")
    if current is None or following is None:  # removed between two statements, by hand
        raise RuntimeError("the signing keys changed while they were read")
    early_by = wait(following, now)
    if early_by > 0 and not force:
        raise TooEarly(early_by)
    seen = (current.kid, following.kid)

    def step(rows: Sequence[SigningKeyRow]) -> Due:
        standing = tuple(r.kid if (r := in_state(rows, s)) else None for s in ("current", "next"))
        return Due(promote=seen[1], create=1) if standing == seen else Due()

    done = _Round(db, sealing_key, algorithm, now, actor, token_lifetime).carry_out(step)
    return Rotation(bool(done), following.kid, max(early_by, 0))


@dataclass(frozen=True, slots=True)
class _Round:
    """One look at the keys and what follows from it."""

    db: Database
    sealing_key: SealingKey
    algorithm: str
    now: int
    actor: str
    token_lifetime: int = LONGEST_TOKEN

    def carry_out(self, decide: Callable[[Sequence[SigningKeyRow]], Due]) -> Due:
        """Decide, make keys without holding a lock, then decide again under the lock and act."""
        with self.db.read() as conn:
            rows = signing_keys.listed(conn)
        if not (wanted := decide(rows)):
            return wanted
        for stored in rows:
            if stored.state != "retired":  # else the other servers could not open what we add
                self.sealing_key.require_fit(stored.kid, stored.sealed)
        fresh = [
            make_key(self.algorithm).row(self.sealing_key, self.now) for _ in range(wanted.create)
        ]
        with registry.change(self.db) as conn:
            wanted = decide(signing_keys.listed(conn))
            events = list(self._forgotten(wanted))
            if wanted.expired:
                signing_keys.remove_expired(conn, self.now)
            if wanted.withdraw is not None:
                signing_keys.retire(conn, wanted.withdraw, at=self.now, remove_after=self.now)
                signing_keys.remove(conn, wanted.withdraw)
            for row, kid in _successions(wanted, fresh):
                if row is not None and signing_keys.insert_next(conn, row):
                    events.append(self._added(row))
                if kid is not None and signing_keys.promote(
                    conn, kid, at=self.now, remove_after=self._remove_after()
                ):
                    events.append(KeyRotated(actor=self.actor, details={"kid": kid}))
            for event in events:
                audit.append_admin(conn, event)
        return wanted

    def _remove_after(self) -> int:
        return self.now + max(self.token_lifetime, LONGEST_TOKEN) + SKEW

    def _forgotten(self, wanted: Due) -> Iterator[Event]:
        for kid in wanted.expired:
            details = {"kid": kid, "why": "its last token has expired"}
            yield KeyRemoved(actor=self.actor, details=details)
        if wanted.withdraw is not None:
            details = {"kid": wanted.withdraw, "why": "never used; the algorithm was changed"}
            yield KeyRemoved(actor=self.actor, details=details)

    def _added(self, row: SigningKeyRow) -> Event:
        details = {"kid": row.kid, "algorithm": row.algorithm}
        return KeyAdded(actor=self.actor, details=details)


def _successions(
    wanted: Due, fresh: Sequence[SigningKeyRow]
) -> Iterator[tuple[SigningKeyRow | None, str | None]]:
    """In order: a key to publish, a key to promote. There is place for one next key at a time."""
    new = iter(fresh[: wanted.create])
    if wanted.promote is not None:
        yield None, wanted.promote
    elif wanted.create > 1:  # none signs: the first new key must, at once
        for first in islice(new, 1):
            yield first, first.kid
    for row in new:
        yield row, None
