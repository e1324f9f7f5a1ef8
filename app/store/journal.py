"""The journal: one thread per process that makes decisions durable, many at a time.

Guarantees (design promises 2 and 3):

- `settle` returns a decision only after its audit entry, and its token's row, status list and
  certificate's use, or its revocation, if it has them, are on disk, in one transaction with whatever else was waiting (group commit: one fsync for all).
- The decision it returns was taken on the registry version that was in force when it was
  committed, on whichever node that version was made. What `registry.change` committed before can
  no longer be ignored; what it commits after comes after.

Not guaranteed: that a written record has a receiver. A caller that was cancelled while waiting, or
a connection lost during COMMIT, may leave a row for a token that never left.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from app.audit import Event
from app.clock import now
from app.store import audit, status_lists, tokens, uses
from app.store.engine import Database, StoreUnavailable, lock_registry
from app.store.registry import Snapshots, Versioned, version
from app.store.status_lists import StatusListRow
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse, Served

_LINGER = 0.004
"""Longest time, in seconds, to gather company for a decision while the event loop is busy. A busy
loop takes 0.1 to 0.3 ms a request, so this is a dozen or more; an idle loop does not wait at all."""

_REMEMBERED = 50_000
"""Triples of client, certificate and resource, of some 200 bytes."""


class JournalFull(StoreUnavailable):
    """More decisions wait for the disk than the journal holds. Nothing was queued."""


class Decision(Protocol):
    """What can be settled."""

    @property
    def event(self) -> Event:
        """The audit entry; every decision has one."""

    @property
    def token(self) -> TokenRow | None:
        """The token's record, if one is issued."""

    @property
    def use(self) -> CertificateUse | None:
        """The certificate that authenticated the client, if one did."""

    @property
    def status_list(self) -> StatusListRow | None:
        """The list its token stands on, if one is issued."""

    @property
    def revokes(self) -> str | None:
        """The jti of the token it revokes, if it does."""


R = TypeVar("R", bound=Versioned)
D = TypeVar("D", bound=Decision)


class _Waiting(Generic[R, D]):
    """One caller's decision on its way to the disk."""

    __slots__ = ("answer", "decide", "decision", "entry", "error", "loop", "version")

    def __init__(self, decide: Callable[[R], D], registry: R) -> None:
        self.decide = decide
        self.take(registry)
        self.error: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[D] = self.loop.create_future()

    def take(self, registry: R) -> None:
        """Decide on this registry. Raises what `decide` raises."""
        self.decision = self.decide(registry)
        self.entry = audit.entry(self.decision.event)
        self.version = registry.version

    def wake(self) -> None:
        """Answer the caller; to be called in its event loop."""
        if self.answer.done():  # cancelled meanwhile
            return
        if self.error is None:
            self.answer.set_result(self.decision)
        else:
            self.answer.set_exception(self.error)


class Journal(Generic[R, D]):
    """Group commit of decisions. `capacity` bounds what waits, `batch_limit` one transaction."""

    def __init__(
        self,
        db: Database,
        snapshots: Snapshots[R],
        *,
        capacity: int = 10_000,
        batch_limit: int = 512,
    ) -> None:
        self._db = db
        self._snapshots = snapshots
        self._capacity = capacity
        self._batch_limit = batch_limit
        self._queue: deque[_Waiting[R, D]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._gathering: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._gate = threading.Lock()  # nothing enters the queue after close
        self._writer = audit.new_writer()
        self._stood = audit.Chain(self._writer)
        """Where the last commit that is known to have succeeded left the stream."""
        self._chain: audit.Chain | None = self._stood
        self._served: set[Served] = set()
        """What is known to be recorded, and need not be again."""
        self._lists: set[str] = set()
        """Ids of status lists known to be recorded."""
        self._in_force = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Start the writer thread. Call after any fork."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Take nothing more and write what waits; False if that takes more than `timeout` seconds."""
        with self._gate:
            self._closing = True
        self._bell.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def depth(self) -> int:
        """How many decisions wait for the writer."""
        return len(self._queue)

    async def settle(self, decide: Callable[[R], D]) -> D:
        """Take a decision and return it once it is durable.

        `decide` must be pure but for what it returns: it runs here, and again in the writer thread
        when a newer registry version is found at commit. What it raises reaches the caller and
        leaves no record. Raises `JournalFull`, or `StoreUnavailable` when the transaction failed or
        the journal is closed: then nothing was decided.
        """
        if len(self._queue) >= self._capacity:
            raise JournalFull("too many decisions wait for the database")
        waiting = _Waiting[R, D](decide, self._snapshots.current)
        loop = waiting.loop
        with self._gate:
            if self._closing:
                raise StoreUnavailable("the journal is closed")
            self._queue.append(waiting)
            if self._gathering is not loop:
                self._gathering = loop
                loop.call_soon(self._gather, loop, len(self._queue), loop.time() + _LINGER)
        return await waiting.answer

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int, until: float) -> None:
        """Wake the writer as soon as the loop went round without a new decision.

        Waking it at once would be slower for everybody: it would commit one or two at a time and
        contend for the interpreter lock with the loop that is about to bring more.
        """
        count = len(self._queue)
        if seen < count < self._batch_limit and loop.time() < until:
            loop.call_soon(self._gather, loop, count, until)
            return
        self._gathering = None
        self._bell.put(None)

    def _run(self) -> None:
        full = False
        while True:
            if not full and not self._closing:
                self._bell.get()
            size = min(len(self._queue), self._batch_limit)
            batch = [self._queue.popleft() for _ in range(size)]
            full = size == self._batch_limit  # the bell may have been for more than this
            if batch:
                self._settle_batch(batch)
            elif self._closing:
                return

    def _settle_batch(self, batch: list[_Waiting[R, D]]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the callers must hear of it
            # Whether a commit that failed took place is not always known: look before going on.
            self._chain = None
            if isinstance(error, StoreUnavailable):
                # Who came meanwhile would only wait as long again.
                batch += [self._queue.popleft() for _ in range(len(self._queue))]
            for waiting in batch:
                waiting.error = StoreUnavailable("the record could not be written")
                waiting.error.__cause__ = error
        _wake(batch)

    def _commit(self, batch: list[_Waiting[R, D]]) -> None:
        with self._db.begin() as conn:
            lock_registry(conn, exclusive=False)
            kept = self._decide_again(conn, batch)
            opened = self._open_lists(conn, kept)
            tokens.insert_many(conn, [w.decision.token for w in kept if w.decision.token])
            # After the insertions: a token may be revoked in the batch it was issued in.
            if revoked := [w.decision.revokes for w in kept if w.decision.revokes is not None]:
                tokens.revoke(conn, revoked, now())
            chain = self._chain or audit.resume(conn, self._writer, self._stood)
            chain = audit.append(conn, chain, [waiting.entry for waiting in kept])
            # Last: on PostgreSQL these rows are locked against other nodes until the commit.
            used = [waiting.decision.use for waiting in kept if waiting.decision.use]
            served = uses.record(conn, used, self._served)
        self._chain = self._stood = chain
        if len(self._served) > _REMEMBERED:
            self._served.clear()
        self._served |= served
        self._lists |= opened

    def _open_lists(self, conn: Connection, batch: Iterable[_Waiting[R, D]]) -> set[str]:
        """Record the status lists that this batch is the first to use; their ids."""
        rows = {row.id: row for w in batch if (row := w.decision.status_list) is not None}
        opened = rows.keys() - self._lists
        for list_id in opened:
            status_lists.put(conn, rows[list_id])
        return opened

    def _decide_again(self, conn: Connection, batch: list[_Waiting[R, D]]) -> list[_Waiting[R, D]]:
        """Take again each decision made on another version; what still stands."""
        in_force = version(conn)
        if in_force != self._in_force:
            self._in_force = in_force
            self._served.clear()  # a client may have been removed, and its uses with it
        if all(waiting.version == in_force for waiting in batch):
            return batch
        fresh = self._snapshots.current
        if fresh.version != in_force:
            fresh = self._snapshots.load_in(conn)
        kept = []
        for waiting in batch:
            if waiting.version != in_force:
                try:
                    waiting.take(fresh)
                except Exception as error:  # noqa: BLE001 -- it belongs to this caller alone
                    waiting.error = error
                    continue
            kept.append(waiting)
        return kept


def _wake(batch: Iterable[_Waiting[R, D]]) -> None:
    """Answer every caller, with one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting[R, D]]] = {}
    for waiting in batch:
        by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake_all, group)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _wake_all(group: list[_Waiting[R, D]]) -> None:
    for waiting in group:
        waiting.wake()
