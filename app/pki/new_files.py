"""Files that must not exist yet: created whole, with their mode, or not at all.

Guarantees: an existing file is never overwritten (FileExistsError, nothing written); a private key
is never readable by others, not even for an instant; a reader sees a complete file or none; data
is on disk before the name appears. Leaves nothing behind when it fails.
"""

import contextlib
import os
import secrets
from pathlib import Path

NewFile = tuple[Path, int, bytes]
"""Where, which mode, what."""


def create_pair(first: NewFile, second: NewFile) -> None:
    """Create both files or neither. Raises FileExistsError, OSError."""
    for path, _, _ in (first, second):
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists already and is kept; choose another name")
    _create(*first)
    try:
        _create(*second)
    except BaseException:
        first[0].unlink(missing_ok=True)  # ours: `_create` never takes over a file
        raise


def _create(path: Path, mode: int, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path)  # fails where the name was taken meanwhile; rename would not
        except FileExistsError:
            raise FileExistsError(f"{path} exists already and is kept") from None
        _sync_directory(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
