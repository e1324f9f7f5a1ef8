"""The audit as a stream of lines: to be kept outside, or read by a SIEM.

Guarantees every entry once, in order of time, stream and number, in constant memory. Entries
committed while it runs may be dated before the last line and are missed then: export up to a moment
some seconds past, and go on from there.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from app.admin.desk import Desk
from app.admin.files import new_file
from app.store import audit
from app.store.audit import AuditRow, Place, Wanted

_PAGE = 1000
"""Entries read at once, of about a kilobyte."""

Spell = Callable[[AuditRow], str]
"""One entry as one line, without its end."""


@dataclass(slots=True)
class Exported:
    """What was written."""

    entries: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """Of all lines."""
        return self.digest.hexdigest()


def entries(desk: Desk, wanted: Wanted) -> Iterator[AuditRow]:
    """Every entry as wanted, page by page; no transaction is open between two pages."""
    behind: Place | None = None
    while True:
        with desk.db.read() as conn:
            rows, behind = audit.following(conn, wanted, behind, _PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return


def write(desk: Desk, wanted: Wanted, spell: Spell, stream: BinaryIO) -> Exported:
    """Write the lines of all entries as wanted."""
    done = Exported()
    for row in entries(desk, wanted):
        line = f"{spell(row)}\n".encode()
        stream.write(line)
        done.digest.update(line)
        done.entries += 1
    return done


def write_file(desk: Desk, wanted: Wanted, spell: Spell, path: Path) -> Exported:
    """Write them into a new file; on disk when this returns.

    Raises:
        Problem: the file is there already, or cannot be written.

    """
    with new_file(path) as stream:
        return write(desk, wanted, spell, stream)
