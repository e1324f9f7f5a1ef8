"""Is the audit what was written? Every stream recomputed, and compared with every signed checkpoint.

Guarantees to find, among the entries that a checkpoint signed, each one edited, removed, inserted,
renumbered or moved, a tail cut off, and a stream removed as a whole; among those behind the last
checkpoint, what does not fit the chain. Does not show: what somebody with the sealing key forged,
or a whole database put back to an earlier state; only a checkpoint kept outside does (`since`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.admin.audit_walk import Fault, StreamWalk, What
from app.admin.desk import Desk
from app.keys import checkpoint as checkpoints_of
from app.keys.checkpoint import Checkpoint, authentic_kids
from app.keys.fold import Fold
from app.keys.seal import SealingError, SealingKey
from app.store import checkpoints, signing_keys, streams
from app.store.checkpoints import CheckpointRow
from app.store.streams import Head

CHECKPOINTS = "(checkpoints)"
"""In place of a writer, for what is wrong with the checkpoints themselves."""
MAX_FAULTS = 1000
_PAGE = 1000
"""Entries read at once, of about a kilobyte."""

Progress = Callable[[int, int], None]
"""Gets how many entries were read, and how many there are."""


@dataclass(slots=True)
class Verdict:
    """What was found. `faults` are in order of streams and numbers, at most `MAX_FAULTS`."""

    entries: int = 0
    streams: int = 0
    checkpoints: int = 0
    signed_at: int | None = None
    """When the last checkpoint was signed."""
    unsigned: int = 0
    """Entries behind the last checkpoint: chained, but not signed yet."""
    left_over: int = 0
    """Entries that a cut has given up and that are not removed yet."""
    cut_before_ms: int | None = None
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0

    def add(self, found: Iterable[Fault]) -> None:
        """Note faults, those of one kind in a row as one."""
        for fault in found:
            joined = self.faults[-1].joined(fault) if self.faults else None
            if joined is not None:
                self.faults[-1] = joined
            elif len(self.faults) < MAX_FAULTS:
                self.faults.append(fault)
            else:
                self.more_faults += 1

    def checkpoint(self, what: What, first: int, detail: str, last: int | None = None) -> None:
        """Note what is wrong with checkpoints."""
        self.add([_fault(what, CHECKPOINTS, first, detail, last)])


def verify(
    desk: Desk, since: Checkpoint | None = None, progress: Progress = lambda _done, _of: None
) -> Verdict:
    """Read everything. `since` is a checkpoint that was kept outside: what it signed must be here.

    Raises:
        StoreUnavailable: the database does not answer.

    """
    while True:
        cut = _last_cut(desk)
        verdict = _verified(desk, since, progress)
        if _last_cut(desk) == cut:
            return verdict


def _last_cut(desk: Desk) -> int:
    """Somebody may cut the audit while it is read; then it is read again."""
    with desk.db.read() as conn:
        row = checkpoints.newest(conn, ("cut",))
    return row.number if row is not None else 0


def _verified(desk: Desk, since: Checkpoint | None, progress: Progress) -> Verdict:
    verdict = Verdict()
    chain = _Chain(desk, verdict, since)
    chain.follow()
    with desk.db.read() as conn:
        heads = streams.heads(conn)
        for writer, number in streams.strays(conn):
            verdict.add([_fault("renumbered", writer, 0, f"its number is {number}: none of ours")])
    verdict.streams = len(heads)
    begins = chain.fold.begins
    total = sum(head.seq - _begin(begins, writer).seq + 1 for writer, head in heads.items())
    begun = 0
    for writer in sorted(heads.keys() | chain.expected.keys()):
        walk = StreamWalk(writer, _begin(begins, writer))
        until = heads[writer].seq if writer in heads else 0
        _walk(desk, walk, until, verdict, lambda done: progress(done, total))
        begun += walk.begins_anew
        _end(walk, chain.expected.get(writer), verdict)
    if begun > 1 and chain.fold.begins.get("admin") is None:
        verdict.checkpoint("removed", 1, "the checkpoints were begun more than once")
    return verdict


def _begin(begins: dict[str, Head], writer: str) -> Head:
    return begins.get(writer, Head(1, bytes(32)))


def _walk(
    desk: Desk, walk: StreamWalk, until: int, verdict: Verdict, progress: Callable[[int], None]
) -> None:
    at, begin = 0, walk.last.seq + 1
    while at < until:
        with desk.db.read() as conn:
            rows = streams.page(conn, walk.writer, at, _PAGE)
        if not rows:
            break
        for row in rows:
            if row.seq > until:
                break
            if row.seq < begin:
                verdict.left_over += 1
                continue
            verdict.add(walk.take(row))
            verdict.entries += 1
        at = rows[-1].seq
        progress(verdict.entries)


def _end(walk: StreamWalk, signed: Head | None, verdict: Verdict) -> None:
    """What should stand behind the last entry that is there."""
    last = walk.last.seq
    if signed is not None and last < signed.seq:
        whole = "the whole stream is missing" if last == 0 else "the stream's end is missing"
        verdict.add(
            [_fault("cut_off", walk.writer, last + 1, f"{whole}; it was signed", signed.seq)]
        )
    else:
        verdict.unsigned += last - (signed.seq if signed else 0)


class _Chain:
    """The checkpoints, read in order and each compared with the entries it signed."""

    def __init__(self, desk: Desk, verdict: Verdict, since: Checkpoint | None) -> None:
        self._desk = desk
        self._verdict = verdict
        self._since = since
        self._trusted: set[str] | None = None
        """Keys that may sign the next one, as told since the exported checkpoint."""
        self.fold = Fold()
        self.expected: dict[str, Head] = {}
        """The furthest that anything signed says each stream has come."""

    def follow(self) -> None:
        """Read them all."""
        verdict, since = self._verdict, self._since
        begins, first = self._cut()
        with self._desk.db.read() as conn:
            rows = checkpoints.after(conn, 0, _PAGE)
            for (number,) in checkpoints.strays(conn):
                verdict.checkpoint("renumbered", 0, f"its number is {number}: none of ours")
        if rows and rows[0].number > first:
            verdict.checkpoint("removed", first, "missing", rows[0].number - 1)
        while rows:
            taken = [each for row in rows if (each := self._take(row)) is not None]
            self._compare(taken, begins)
            with self._desk.db.read() as conn:
                rows = checkpoints.after(conn, rows[-1].number, _PAGE)
        if since is not None:
            self._compare([since], begins)
        self.expected = dict(self.fold.heads)
        for writer, head in since.streams.items() if since is not None else ():
            self.expected[writer] = max(head, self.expected.get(writer, head))
        self._close(begins)

    def _cut(self) -> tuple[dict[str, Head], int]:
        """Where streams and checkpoints begin, by the newest cut. `_close` asks whether it counts."""
        with self._desk.db.read() as conn:
            row = checkpoints.newest(conn, ("cut",))
        try:
            cut = checkpoints_of.read(row.statement) if row is not None else None
        except ValueError:
            cut = None  # said when its turn comes
        if cut is None:
            return {}, 1
        self._verdict.cut_before_ms = cut.before_ms
        return dict(cut.begins), cut.first or 1

    def _take(self, row: CheckpointRow) -> Checkpoint | None:
        verdict, fold = self._verdict, self.fold
        try:
            found = checkpoints_of.read(row.statement)
        except ValueError as error:
            verdict.checkpoint("edited", row.number, f"the statement {error}")
            return None
        if (found.number, found.at, found.kind) != (row.number, row.at, row.kind):
            verdict.checkpoint("relabelled", row.number, "its columns differ from its statement")
        if objection := fold.objection(found):
            verdict.checkpoint("unchained", row.number, objection)
        fold.take(found)
        verdict.checkpoints += 1
        verdict.signed_at = found.at
        self._follow_keys(found)
        return found

    def _follow_keys(self, found: Checkpoint) -> None:
        since = self._since
        if self._trusted is not None:
            trusted = self._trusted
            self._trusted = {found.kid, *found.keys} if found.kid in trusted else set()
        elif since is not None and since.number == found.number:
            if since.digest != found.digest:
                detail = "another checkpoint than the one kept outside"
                self._verdict.checkpoint("rewritten", found.number, detail)
            else:
                self._trusted = {found.kid, *found.keys}

    def _compare(self, taken: list[Checkpoint], begins: dict[str, Head]) -> None:
        """Each entry that these signed has the hash that was signed, if it is there."""
        signed = [
            (writer, head, each)
            for each in taken
            for writer, head in each.streams.items()
            if head.seq >= _begin(begins, writer).seq
        ]
        for start in range(0, len(signed), 200):
            part = signed[start : start + 200]
            with self._desk.db.read() as conn:
                stored = streams.hashes(conn, [(writer, head.seq) for writer, head, _ in part])
            for writer, head, each in part:
                found = stored.get((writer, head.seq))
                if found is not None and found != head.hash:
                    detail = f"not the entry that checkpoint {each.number} signed"
                    self._verdict.add([_fault("rewritten", writer, head.seq, detail)])

    def _close(self, begins: dict[str, Head]) -> None:
        verdict, since, last = self._verdict, self._since, self.fold.last
        if since is not None and (last is None or last.number < since.number):
            missing = (last.number if last else 0) + 1
            verdict.checkpoint(
                "cut_off", missing, "missing; one kept outside is newer", since.number
            )
        if last is None:
            verdict.checkpoint("signature", 1, "no checkpoint is here, so nothing is signed")
            return
        if self.fold.begins != begins:
            verdict.checkpoint("unchained", last.number, "the cut is not the one that was signed")
        if last.kid not in self._anchors() and not (self._trusted or set()):
            detail = f"signed by {last.kid}, which nothing here shows to be a key of this server"
            verdict.checkpoint("signature", last.number, detail)

    def _anchors(self) -> set[str]:
        """The signing keys that only somebody with the sealing key can have put here."""
        with self._desk.db.read() as conn:
            rows = signing_keys.listed(conn)
        try:
            return authentic_kids(rows, SealingKey.load(self._desk.settings))
        except SealingError:
            return set()


def _fault(what: What, writer: str, seq: int, detail: str, last: int | None = None) -> Fault:
    return Fault(
        what=what,
        writer=writer,
        seq=seq,
        last=seq if last is None else last,
        at_ms=None,
        detail=detail,
    )
