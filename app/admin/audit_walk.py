"""One stream of the audit, read as a suspicious person would: each entry recomputed from its body.

Guarantees that an entry whose body, time, number, hash or index columns were changed is found, and
so are entries missing before another. What is missing at the end, and whether all of it was written
anew with fitting hashes, only checkpoints show.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from app.store import audit
from app.store.audit import AuditRow
from app.store.streams import Head

What = Literal[
    "edited",
    "renumbered",
    "removed",
    "unchained",
    "relabelled",
    "rewritten",
    "cut_off",
    "signature",
]
NEAR = 64
"""How far an entry is looked for from where it stands: each place costs a hash."""
COPIES = ("event", "decision", "reason", "ref", "client_id", "thumbprint", "jti", "resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it was written, for the entries `seq` to `last` of one stream."""

    what: What
    writer: str
    seq: int
    last: int
    at_ms: int | None
    """When the entry says it was recorded; of missing ones: the entry behind them."""
    detail: str

    def joined(self, other: "Fault") -> "Fault | None":
        """One fault for both, where they are of one kind and follow each other."""
        same = (self.what, self.writer, self.detail) == (other.what, other.writer, other.detail)
        return replace(self, last=other.last) if same and other.seq == self.last + 1 else None


class StreamWalk:
    """Takes the entries of one stream in order of their numbers; tells what is wrong with each."""

    def __init__(self, writer: str, begin: Head) -> None:
        """`begin`: the number of the first entry that must be here, and the hash before it."""
        self.writer = writer
        self.last = Head(begin.seq - 1, begin.hash)
        """The last entry taken."""
        self._doubted = False
        """The last entry is not genuine, so that what follows it says nothing."""
        self.begins_anew = 0
        """Entries that say a chain of checkpoints was begun."""

    def take(self, row: AuditRow) -> Iterator[Fault]:
        """What is wrong with this entry, or missing before it."""
        expected, head = self.last.seq + 1, self.last.hash
        if row.seq > expected:
            missing = "missing, though what follows is here"
            yield self._fault("removed", expected, row.at_ms, missing, last=row.seq - 1)
        genuine = audit.link(row.prev, row.writer, row.seq, row.at_ms, row.body) == row.hash
        if not genuine:
            yield self._not_genuine(row)
        elif row.seq == expected and row.prev != head and not self._doubted:
            detail = "does not follow from the entry before it"
            yield self._fault("unchained", row.seq, row.at_ms, detail)
        if genuine and (copies := _wrong_copies(row)):
            detail = f"its columns {', '.join(copies)} differ from its body"
            yield self._fault("relabelled", row.seq, row.at_ms, detail)
        if row.event == "checkpoints.begun":
            self.begins_anew += 1
        self.last, self._doubted = Head(row.seq, row.hash), not genuine

    def _not_genuine(self, row: AuditRow) -> Fault:
        for distance in range(1, NEAR + 1):
            for seq in (row.seq - distance, row.seq + distance):
                if audit.link(row.prev, row.writer, seq, row.at_ms, row.body) == row.hash:
                    way = "back" if seq > row.seq else "forward"
                    detail = f"written as another number, moved {distance} {way}"
                    return self._fault("renumbered", row.seq, row.at_ms, detail)
        detail = "its body, time or hash is not what was written"
        return self._fault("edited", row.seq, row.at_ms, detail)

    def _fault(
        self, what: What, seq: int, at_ms: int | None, detail: str, last: int | None = None
    ) -> Fault:
        return Fault(
            what=what,
            writer=self.writer,
            seq=seq,
            last=seq if last is None else last,
            at_ms=at_ms,
            detail=detail,
        )


def _wrong_copies(row: AuditRow) -> list[str]:
    """The index columns that do not say what the body says."""
    try:
        told = audit.copies(json.loads(row.body))
    except (ValueError, TypeError, AttributeError):
        return ["(the body is no entry)"]
    return [name for name in COPIES if getattr(row, name) != told.get(name)]
