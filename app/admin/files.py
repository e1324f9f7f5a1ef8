"""Files that an operator names: read with a size cap, made anew, refused with a sentence."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.admin.problem import Kind, Problem

MAX_FILE = 1024 * 1024
"""Octets. The largest sensible one is a CA bundle: Mozilla's is about 220 KiB."""


def read(path: Path, *, at_most: int = MAX_FILE) -> bytes:
    """The octets of a regular file.

    Raises:
        Problem: it is missing, unreadable, no file, empty, or larger than `at_most` octets.

    """
    try:
        # Asked before opening: opening a named pipe would wait for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Problem(
                f"{path} cannot be read",
                seen="a directory or device",
                expected="a file",
                kind=Kind.ENVIRONMENT,
            )
        with path.open("rb") as opened:
            data = opened.read(at_most + 1)
    except OSError as error:
        raise Problem(
            f"{path} cannot be read",
            seen=(error.strerror or type(error).__name__).lower(),
            expected="a readable file",
            action="Correct the path; relative paths start at the current directory.",
            kind=Kind.ENVIRONMENT,
        ) from error
    if len(data) > at_most:
        raise Problem(
            f"{path} is too large",
            seen=f"more than {at_most} octets",
            expected=f"at most {at_most} octets",
            kind=Kind.ENVIRONMENT,
        )
    if not data:
        raise Problem(f"{path} is empty", seen="0 octets", kind=Kind.ENVIRONMENT)
    return data


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there, for its owner alone; on disk when the block ends.

    Raises:
        Problem: it exists, or cannot be made or written.

    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise Problem(
            f"{path} cannot be written",
            seen=(error.strerror or type(error).__name__).lower(),
            expected="a name that is not taken, in a directory that may be written",
            kind=Kind.ENVIRONMENT,
        ) from error
