"""Taking an older copy of the database as it is: nothing that was issued before counts any more.

Guarantees, in one transaction: every token on record is revoked, every signing key is withdrawn
and new ones are published, so that tokens which the copy does not know fail too; the registry's
version is above all that was seen, so that no process keeps what it knew. Audited; and a checkpoint
signed by the new key follows those that the old ones signed, so that the audit verifies as before.

Not here, because nothing knows it: certificates denied, clients disabled and trust taken away after
the copy was made. The operator does that again; the page says from when on.
"""

from contextlib import suppress
from dataclasses import dataclass

from app import clock
from app.admin import seen
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.audit import DatabaseRestored
from app.keys import rotate
from app.keys.seal import SealingKey
from app.keys.sign_off import SignOff, TrailAltered
from app.store import audit, registry, signing_keys, tokens


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done, and the time that is lost."""

    tokens: int
    keys: int
    since: int
    """Of the copy's newest audit entry, seconds; later acts are lost."""
    until: int
    """Of the newest entry that this home saw."""


def restored(desk: Desk) -> Restored:
    """Take it as it is.

    Raises:
        Problem: the database lacks nothing that this home has seen.
        SealingError: the signing keys are sealed with another sealing key.
        StoreUnavailable: the database does not answer.

    """
    settings, db, now = desk.settings, desk.db, clock.now()
    found = seen.of(db)
    before = seen.known(settings.home, found.database)
    if before is None or not found.lacks(before):
        raise Problem(
            "the database is not older than what this home has seen",
            seen=f"registry version {found.registry}",
            expected="an older copy, put in the place of the database",
            action="Nothing is to be done: certbound serve",
        )
    sealing_key = SealingKey.load(settings)
    sign_off = SignOff(db, sealing_key, settings.issuer, desk.actor)
    with registry.change(db) as conn:
        # A damaged audit, or one without checkpoints, stops nothing: verify tells of it.
        with suppress(TrailAltered):
            sign_off.look(conn)
        keys = signing_keys.listed(conn)
        for key in keys:
            sealing_key.require_fit(key.kid, key.sealed)
            signing_keys.retire(conn, key.kid, at=now, remove_after=now)
            signing_keys.remove(conn, key.kid)
        revoked = tokens.revoke_every(conn, now)
        registry.raise_to(conn, before.registry)
        lost = {"from": clock.iso(found.audit // 1000), "to": clock.iso(before.audit // 1000)}
        details = {"tokens": revoked, "signing_keys": len(keys), "lost": lost}
        audit.append_admin(conn, DatabaseRestored(actor=desk.actor, details=details))
    rotate.ensure_keys(db, sealing_key, settings.signing_algorithm, now, actor=desk.actor)
    with suppress(TrailAltered):
        sign_off.write(now)
    seen.replace(settings.home, seen.until_now(db))
    return Restored(revoked, len(keys), found.audit // 1000, before.audit // 1000)
