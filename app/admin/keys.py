"""Signing keys, as an operator sees and rotates them."""

from collections.abc import Sequence

from app import clock
from app.admin.desk import Desk, at_desk
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.keys import rotate as rotation
from app.keys.rotate import Rotation, TooEarly
from app.keys.seal import SealingError, SealingKey
from app.store import signing_keys
from app.store.signing_keys import SigningKeyRow


def listed(desk: Desk) -> Sequence[SigningKeyRow]:
    """Every key, oldest first."""
    with desk.db.read() as conn:
        return signing_keys.listed(conn)


def rotate(desk: Desk, *, force: bool = False) -> Rotation:
    """The next key signs from now on; a new next one is published. Both acts are audited.

    Raises:
        Problem: the next key is published too recently and `force` is not set, or the sealing key
            is missing or another one.

    """
    settings = desk.settings
    try:
        return rotation.rotate(
            desk.db,
            SealingKey.load(settings),
            settings.signing_algorithm,
            clock.now(),
            token_lifetime=settings.access_token_lifetime,
            actor=desk.actor,
            force=force,
        )
    except TooEarly as error:
        raise Problem(
            "the next signing key is too young to sign",
            seen=f"published long enough only in {error.wait} seconds",
            expected="that verifiers had time to fetch it",
            action="Wait, or (after a key was stolen): certbound key rotate --force",
        ) from error
    except SealingError as error:
        raise unsealed(error, settings) from error


def unsealed(error: SealingError, settings: Settings) -> Problem:
    """What to say when the sealing key does not fit. A new one helps only before the first key."""
    file = "the setting sealing_key" if settings.sealing_key else str(settings.sealing_key_file)
    lost = (
        f"Restore {file} from its backup. There is none? This home's signing keys are lost: "
        "start over (README, 'Start over')."
    )
    new = "" if settings.sealing_key else "certbound quickstart"
    return Problem(
        "the signing keys cannot be unsealed",
        seen=str(error),
        expected="the sealing key that belongs to this database",
        action=error.action or (lost if _has_keys(settings) else new),
        kind=Kind.ENVIRONMENT,
    )


def _has_keys(settings: Settings) -> bool:
    try:
        with at_desk(settings) as desk:
            return bool(listed(desk))
    except Problem:
        return False
