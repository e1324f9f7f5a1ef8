"""Checkpoints of the audit by hand: signed now, and kept outside the database."""

from pathlib import Path

from app import clock
from app.admin.desk import Desk
from app.admin.files import new_file
from app.admin.keys import unsealed
from app.admin.problem import Problem
from app.keys import checkpoint as checkpoints_of
from app.keys.checkpoint import Checkpoint
from app.keys.seal import SealingError, SealingKey
from app.keys.sign_off import SignOff, TrailAltered
from app.store import checkpoints


def begin(desk: Desk, sealing_key: SealingKey) -> None:
    """Sign the first checkpoint, so that an audit is signed from its beginning; else nothing.

    Raises `SealingError`.
    """
    with desk.db.read() as conn:
        if checkpoints.newest(conn) is not None:
            return
    SignOff(desk.db, sealing_key, desk.settings.issuer, desk.actor).write(clock.now())


def sign_whole(desk: Desk) -> Checkpoint:
    """A checkpoint of every stream, signed now.

    Raises:
        Problem: the trail is not what was signed before, or the signing keys cannot be used.

    """
    try:
        sign_off = sign_off_of(desk)
        while (made := sign_off.write(clock.now(), kind="whole")) is None:
            continue  # another process wrote one in this moment; the next number is ours
    except TrailAltered as error:
        raise altered(error) from error
    except SealingError as error:
        raise unsealed(error, desk.settings) from error
    return made


def sign_off_of(desk: Desk) -> SignOff:
    """What signs, in the operator's name. Raises `SealingError`."""
    return SignOff(desk.db, SealingKey.load(desk.settings), desk.settings.issuer, desk.actor)


def altered(error: TrailAltered) -> Problem:
    """What to say where nothing may be signed any more."""
    return Problem(
        "the audit is not what its checkpoints say, so no checkpoint is signed over it",
        seen=str(error),
        expected="every entry as it was signed",
        action="certbound audit verify",
    )


def export(desk: Desk, made: Checkpoint, path: Path) -> None:
    """Write the statement of a checkpoint into a file of its own.

    Raises:
        Problem: the file is there already or cannot be written.

    """
    with desk.db.read() as conn:
        row = checkpoints.find(conn, made.number)
    if row is None:
        raise Problem("the checkpoint is gone", seen=f"no number {made.number}")
    with new_file(path) as file:
        file.write(f"{row.statement}\n".encode())


def read_exported(path: Path) -> Checkpoint:
    """The checkpoint in a file that `export` wrote.

    Raises:
        Problem: it cannot be read, or is none.

    """
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(checkpoints_of.MAX_STATEMENT + 1).strip()
        found = checkpoints_of.read(text)
    except (OSError, ValueError) as error:
        raise Problem(
            f"{path} is no exported checkpoint",
            seen=str(error.strerror if isinstance(error, OSError) else error),
            expected="a file that certbound audit checkpoint --export wrote",
        ) from error
    if found.kind == "heads":
        raise Problem(f"{path} says nothing of streams that had not moved", seen="kind heads")
    return found
