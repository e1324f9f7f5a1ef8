"""Writing checkpoints: every minute in which something was recorded, and before a server ends.

Guarantees that a checkpoint never signs over what an earlier one shows to be altered: where the
stored trail contradicts the checkpoints, or these contradict what this process saw before, it
raises `TrailAltered` and writes nothing. Any number of processes may do this at once: one of them
writes the next number, and the others find it done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock

from app.audit import CheckpointsBegun, Event
from app.keys import checkpoint as checkpoints_of
from app.keys.checkpoint import Checkpoint, Heads, authentic_kids
from app.keys.fold import Fold
from app.keys.ring import KeyRing
from app.keys.seal import SealingKey
from app.store import audit, checkpoints, signing_keys, streams
from app.store.checkpoints import CheckpointRow, Kind
from app.store.engine import Database, StoreUnavailable, Transaction

INTERVAL = 50
"""Seconds that a checkpoint suffices: a little less than a minute, the beat of the upkeep."""
WHOLE_EVERY = 1000
"""Checkpoints, most of a day of minutes: as many a starting process has to read."""
_AT_ONCE = 200
LONGEST_TURN = 5.0
"""Seconds a thread waits for another's: half of what a server has to end (`shutdown_timeout`)."""


class TrailAltered(Exception):
    """The stored audit trail is not what its checkpoints say. `certbound audit verify` says where."""


class _Overtaken(Exception):
    """Another process wrote this number; the transaction is given up."""


@dataclass(slots=True)
class SignOff:
    """Writes checkpoints for one process. Threads take turns.

    A server that ends signs off while the upkeep's last round, whose thread no cancelling stops, may
    still be at it.
    """

    db: Database
    sealing_key: SealingKey
    issuer: str
    actor: str
    _fold: Fold = field(default_factory=Fold)
    _ours: str = ""
    """Digest of the last checkpoint whose key was found to be ours; keys are forgotten in time."""
    _turn: Lock = field(default_factory=Lock)

    def due(self, now: int) -> Checkpoint | None:
        """A checkpoint, if the last one is older than `INTERVAL` and anything moved since.

        Raises:
            TrailAltered: see the module.
            SealingError: the signing key cannot be unsealed.
            StoreUnavailable: the database does not answer.

        """
        with self._alone(), self.db.read() as conn:
            last = checkpoints.newest(conn)
            is_fresh = last is not None and 0 <= now - last.at < INTERVAL
            if is_fresh and self._fold.last is None:
                self._current(conn)  # a process that starts looks at once
        return None if is_fresh else self.write(now)

    def write(self, now: int, *, kind: Kind = "heads") -> Checkpoint | None:
        """A checkpoint now; None where nothing moved since the last, or another process was first.

        One that is ``whole`` is written whether anything moved or not. Raises as `due`.
        """
        try:
            with self._alone(), self.db.begin() as conn:
                return self._write(conn, now, kind)
        except _Overtaken:
            return None

    def cut(self, now: int, begins: Heads, *, before_ms: int, act: Event) -> Checkpoint | None:
        """Sign where these streams begin from now on, and record the act; None as `write`.

        Removes nothing: what stands before may be removed once this returned. Raises as `due`.
        """
        try:
            with self._alone(), self.db.begin() as conn:
                if checkpoints.newest(conn) is None:
                    raise TrailAltered("no checkpoint is here")
                audit.append_admin(conn, act)
                heads = self._current(conn)
                first = checkpoints.first_since(conn, before_ms // 1000) or self._number()
                draft = self._draft(now, "cut", heads, first, before_ms)
                draft = replace(draft, begins={**draft.begins, **begins})
                return self._keep(conn, draft)
        except _Overtaken:
            return None

    def _write(self, conn: Transaction, now: int, kind: Kind) -> Checkpoint | None:
        first_ever = checkpoints.newest(conn) is None
        if first_ever:
            if self._fold.last is not None:
                raise TrailAltered("every checkpoint was removed")
            audit.append_admin(conn, CheckpointsBegun(actor=self.actor, details={"number": 1}))
        heads = self._current(conn)
        moved = {w: head for w, head in heads.items() if self._fold.heads.get(w) != head}
        if first_ever or self._number() % WHOLE_EVERY == 0:
            kind = "whole"
        if kind == "heads" and not moved:
            return None
        streams_told = moved if kind == "heads" else heads
        return self._keep(conn, self._draft(now, kind, streams_told, self._oldest(conn), None))

    def look(self, conn: Transaction) -> None:
        """Make sure that the next one may follow, also when the keys have been replaced by then.

        Raises:
            TrailAltered: it may not, or there is none yet.

        """
        if checkpoints.newest(conn) is None:
            raise TrailAltered("no checkpoint is here")
        with self._alone():
            self._current(conn)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=LONGEST_TURN):
            raise StoreUnavailable("another thread waits for the database to sign the audit")
        try:
            yield
        finally:
            self._turn.release()

    def _number(self) -> int:
        return self._fold.last.number + 1 if self._fold.last else 1

    def _oldest(self, conn: Transaction) -> int:
        oldest = checkpoints.after(conn, 0, 1)
        return oldest[0].number if oldest else 1

    def _draft(
        self, now: int, kind: Kind, heads: Heads, first: int, before_ms: int | None
    ) -> Checkpoint:
        last = self._fold.last
        return Checkpoint(
            issuer=self.issuer,
            number=self._number(),
            at=now,
            kind=kind,
            previous=last.digest if last else None,
            streams=heads if kind == "heads" else {**self._fold.heads, **heads},
            begins=self._fold.begins,
            first=first,
            before_ms=before_ms,
        )

    def _keep(self, conn: Transaction, draft: Checkpoint) -> Checkpoint:
        rows = signing_keys.listed(conn)
        row = checkpoints_of.sign(draft, rows, KeyRing.from_rows(rows, self.sealing_key).current)
        if not checkpoints.put(conn, row):
            raise _Overtaken
        return checkpoints_of.read(row.statement)

    def _current(self, conn: Transaction) -> dict[str, streams.Head]:
        """Where the streams stand, after making sure that it follows from what was signed."""
        self._catch_up(conn)
        heads = streams.heads(conn)
        known = self._fold.heads
        moved = [writer for writer in known if heads.get(writer) != known[writer]]
        for start in range(0, len(moved), _AT_ONCE):
            places = [(writer, known[writer].seq) for writer in moved[start : start + _AT_ONCE]]
            stored = streams.hashes(conn, places)
            for writer, seq in places:
                begin = self._fold.begins.get(writer)
                if begin is not None and begin.seq > seq:
                    continue  # removed by a cut
                if stored.get((writer, seq)) != known[writer].hash:
                    self._require_newest(conn)
                    raise TrailAltered(f"entry {seq} of stream {writer} is not what was signed")
        return heads

    def _require_newest(self, conn: Transaction) -> None:
        """Between two statements of ours somebody may have cut: that is no alteration."""
        newest, last = checkpoints.newest(conn), self._fold.last
        if newest is not None and last is not None and newest.number > last.number:
            raise _Overtaken

    def _catch_up(self, conn: Transaction) -> None:
        """Read the checkpoints that others wrote since; from the last whole one the first time."""
        fold = self._fold
        if fold.last is None:
            whole = checkpoints.newest(conn, ("whole", "cut"))
            if whole is None:
                if checkpoints.newest(conn) is not None:
                    raise TrailAltered("the whole checkpoint that others build on is missing")
                return
            fold.take(self._read(whole))
        elif (row := checkpoints.find(conn, fold.last.number)) is None:
            self._go_on_from_cut(conn, fold.last)
        elif checkpoints_of.digest_of(row.statement) != fold.last.digest:
            raise TrailAltered(f"checkpoint {fold.last.number} is not the one that was here before")
        while fold.last is not None and (
            rows := checkpoints.after(conn, fold.last.number, _AT_ONCE)
        ):
            for row in rows:
                following = self._read(row)
                if objection := fold.objection(following):
                    raise TrailAltered(f"checkpoint {row.number} {objection}")
                fold.take(following)
        self._require_ours(conn)

    def _go_on_from_cut(self, conn: Transaction, seen: Checkpoint) -> None:
        """The checkpoint seen last is gone: a cut must say so, and forget no stream that it signed."""
        row = checkpoints.newest(conn, ("cut",))
        cut = self._read(row) if row is not None else None
        if cut is None or (cut.first or 0) <= seen.number:
            raise TrailAltered(f"checkpoint {seen.number} is not the one that was here before")
        if objection := self._fold.turned_back(cut):
            raise TrailAltered(f"checkpoint {cut.number} {objection}")
        self._fold.take(cut)

    def _require_ours(self, conn: Transaction) -> None:
        """The last checkpoint was signed by a key that the sealing key sealed."""
        last = self._fold.last
        if last is None or last.digest == self._ours:
            return
        if last.kid not in authentic_kids(signing_keys.listed(conn), self.sealing_key):
            raise TrailAltered(f"checkpoint {last.number} was signed by a key that is not ours")
        self._ours = last.digest

    def _read(self, row: CheckpointRow) -> Checkpoint:
        try:
            found = checkpoints_of.read(row.statement)
        except ValueError as error:
            raise TrailAltered(f"checkpoint {row.number} {error}") from error
        if (found.number, found.at, found.kind) != (row.number, row.at, row.kind):
            raise TrailAltered(f"checkpoint {row.number} is not the one its columns say")
        return found
