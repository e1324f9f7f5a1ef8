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

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from app.audit import Event
from app.clock import now
from app.store import audit, status_lists, tokens, uses
from app.store.batches import Batches, Waiting, nobody
from app.store.engine import Database, StoreUnavailable, lock_registry
from app.store.kept import Kept
from app.store.registry import Snapshots, Versioned, version
from app.store.status_lists import StatusListRow
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse, Served
from app.traces import Traces

_RETAKEN = 32
"""Most decisions that are taken again while the database is locked to others: some 5 ms of processor
time each where strangers chose the certificates. More are taken again before, without a lock."""

_AHEAD = 3
"""How often that is tried in a row while the registry keeps changing."""

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


class _Waiting(Waiting, Generic[R, D]):
    """One caller's decision on its way to the disk."""

    __slots__ = ("decide", "decision", "entry", "version")

    def __init__(self, decide: Callable[[R], D], registry: R) -> None:
        super().__init__()
        self.decide = decide
        self.take(registry)

    def take(self, registry: R) -> None:
        """Decide on this registry. Raises what `decide` raises."""
        self.decision = self.decide(registry)
        self.entry = audit.entry(self.decision.event)
        self.version = registry.version


class Journal(Generic[R, D]):
    """Group commit of decisions. `capacity` bounds what waits, `batch_limit` one transaction."""

    def __init__(
        self,
        db: Database,
        snapshots: Snapshots[R],
        *,
        capacity: int = 10_000,
        batch_limit: int = 512,
        tell: Callable[[int, float], None] = nobody,
        traces: Traces | None = None,
    ) -> None:
        """`tell` gets the size of each transaction and the seconds it took."""
        self._traces = traces
        self._db = db
        self._kept = Kept()
        self._snapshots = snapshots
        self._batches: Batches[_Waiting[R, D]] = Batches(
            "journal",
            self._settle_batch,
            capacity=capacity,
            limit=batch_limit,
            failure="the record could not be written",
            tell=tell,
            end=self._kept.close,
        )
        self._writer = audit.new_writer()
        self._stood = audit.Chain(self._writer)
        """Where the last commit that is known to have succeeded left the stream."""
        self._chain: audit.Chain | None = self._stood
        self._served: set[Served] = set()
        """What is known to be recorded, and need not be again."""
        self._lists: set[str] = set()
        """Ids of status lists known to be recorded."""
        self._in_force = 0

    def start(self) -> None:
        """Start the writer thread. Call after any fork."""
        self._batches.start()

    def close(self, timeout: float) -> bool:
        """Take nothing more and write what waits; False if that takes more than `timeout` seconds."""
        return self._batches.close(timeout)

    @property
    def depth(self) -> int:
        """How many decisions wait for the writer."""
        return self._batches.depth

    async def settle(self, decide: Callable[[R], D]) -> D:
        """Take a decision and return it once it is durable.

        `decide` must be pure but for what it returns: it runs here, and again in the writer thread
        when a newer registry version is found at commit. What it raises reaches the caller and
        leaves no record. Raises `JournalFull`, or `StoreUnavailable` when the transaction failed or
        the journal is closed: then nothing was decided.
        """
        if self._batches.full:
            raise JournalFull("too many decisions wait for the database")
        waiting = _Waiting(decide, self._snapshots.current)
        if self._traces is None:
            await self._batches.wait(waiting)
        else:
            with self._traces.part("commit") as span:
                span.set_attribute("db.system.name", self._db.dialect)
                await self._batches.wait(waiting)
        return waiting.decision

    async def record(self, decision: D) -> None:
        """Write down what is decided already, whatever the registry says. Raises as `settle`."""
        await self.settle(lambda _registry: decision)

    def _settle_batch(self, batch: list[_Waiting[R, D]]) -> None:
        try:
            self._commit(batch)
        except Exception:
            # Whether a commit that failed took place is not always known: look before going on.
            self._chain = None
            raise

    def _commit(self, batch: list[_Waiting[R, D]]) -> None:
        for most in (*[_RETAKEN] * _AHEAD, len(batch)):
            if self._write(batch, most):
                return
            _take_all(batch, self._snapshots.current)

    def _write(self, batch: list[_Waiting[R, D]], most: int) -> bool:
        """Commit what stands. False, and nothing written, where over `most` would be taken again."""
        with self._db.begin(self._kept) as conn:
            lock_registry(conn, exclusive=False)
            if not self._is_near(conn, batch, most):
                return False
            kept = self._decide_again(conn, batch)
            opened = self._open_lists(conn, kept)
            tokens.insert_many(conn, [w.decision.token for w in kept if w.decision.token])
            # After the insertions: a token may be revoked in the batch it was issued in.
            told = self._revoke(conn, kept)
            chain = self._chain or audit.resume(conn, self._writer, self._stood)
            chain = audit.append(conn, chain, [waiting.entry for waiting in told])
            # Last: on PostgreSQL these rows are locked against other nodes until the commit.
            used = [waiting.decision.use for waiting in kept if waiting.decision.use]
            served = uses.record(conn, used, self._served)
        self._chain = self._stood = chain
        if len(self._served) > _REMEMBERED:
            self._served.clear()
        self._served |= served
        self._lists |= opened
        return True

    def _revoke(self, conn: Connection, batch: list[_Waiting[R, D]]) -> list[_Waiting[R, D]]:
        """Revoke what the batch revokes; what is to be told: of several who revoke one, the first."""
        asked = {w.decision.revokes for w in batch if w.decision.revokes is not None}
        if not asked:
            return batch
        left = tokens.revoke(conn, asked, now())
        told = []
        for waiting in batch:
            jti = waiting.decision.revokes
            if jti is None or jti in left:
                told.append(waiting)
                left.discard(jti or "")
        return told

    def _open_lists(self, conn: Connection, batch: Iterable[_Waiting[R, D]]) -> set[str]:
        """Record the status lists that this batch is the first to use; their ids."""
        rows = {row.id: row for w in batch if (row := w.decision.status_list) is not None}
        opened = rows.keys() - self._lists
        for list_id in opened:
            status_lists.put(conn, rows[list_id])
        return opened

    def _is_near(self, conn: Connection, batch: list[_Waiting[R, D]], most: int) -> bool:
        """Whether few decisions are of another version; else that in force is made the snapshot."""
        if len(batch) <= most:
            return True
        in_force = version(conn)
        old = [one for one in batch if one.error is None and one.version != in_force]
        if len(old) <= most:
            return True
        if self._snapshots.current.version != in_force:
            self._snapshots.load_in(conn)
        return False

    def _decide_again(self, conn: Connection, batch: list[_Waiting[R, D]]) -> list[_Waiting[R, D]]:
        """Take again each decision made on another version; what still stands."""
        in_force = version(conn)
        if in_force != self._in_force:
            self._in_force = in_force
            self._served.clear()  # a client may have been removed, and its uses with it
        if any(waiting.version != in_force for waiting in batch):
            fresh = self._snapshots.current
            if fresh.version != in_force:
                fresh = self._snapshots.load_in(conn)
            _take_all(batch, fresh)
        return [waiting for waiting in batch if waiting.error is None]


def _take_all(batch: Iterable[_Waiting[R, D]], registry: R) -> None:
    """Take each decision made on another version again on this one."""
    for waiting in batch:
        if waiting.error is None and waiting.version != registry.version:
            try:
                waiting.take(registry)
            except Exception as error:  # noqa: BLE001 -- it belongs to this caller alone
                waiting.error = error
