"""Look-ups: what the database says of a token at this moment, for many callers in one read.

Guarantees: the answer was read after the caller asked, the token's record and the registry version
in one transaction. So what was revoked, and what changed in the registry, before a caller asked is
in its answer, whichever process made the change: nothing here is kept from one answer to the next
but the registry snapshot, and that only while its version is the one just read.

Nothing is written.
"""

from typing import Generic, NamedTuple, TypeVar

from app.store import tokens
from app.store.batches import Batches, Waiting
from app.store.engine import Database, StoreUnavailable
from app.store.kept import Kept
from app.store.registry import Snapshots, Versioned, version
from app.store.tokens import TokenRow
from app.traces import Traces

R = TypeVar("R", bound=Versioned)


class LookupsFull(StoreUnavailable):
    """More callers wait for the database than the look-ups hold."""


class Found(NamedTuple, Generic[R]):
    """One answer."""

    registry: R
    """In force when the record was read."""
    token: TokenRow | None


class _Asking(Waiting, Generic[R]):
    __slots__ = ("found", "jti")

    def __init__(self, jti: str | None) -> None:
        super().__init__()
        self.jti = jti
        self.found: Found[R] | None = None


class Lookups(Generic[R]):
    """One reader thread. `capacity` bounds who waits, `batch_limit` one transaction."""

    def __init__(
        self,
        db: Database,
        snapshots: Snapshots[R],
        *,
        capacity: int = 10_000,
        batch_limit: int = 512,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._db = db
        self._kept = Kept()
        self._snapshots = snapshots
        self._batches: Batches[_Asking[R]] = Batches(
            "look-up thread",
            self._look,
            capacity=capacity,
            limit=batch_limit,
            failure="the database could not be read",
            end=self._kept.close,
        )

    def start(self) -> None:
        """Start the reader thread. Call after any fork."""
        self._batches.start()

    def close(self, timeout: float) -> bool:
        """Take nothing more and answer who waits; False if that takes more than `timeout` seconds."""
        return self._batches.close(timeout)

    @property
    def depth(self) -> int:
        """How many wait for the reader."""
        return self._batches.depth

    async def find(self, jti: str | None) -> Found[R]:
        """The token's record, if there is one, and the registry in force; the latter alone for None.

        Raises `LookupsFull`, or `StoreUnavailable` where the database does not answer or the
        look-ups are closed.
        """
        if self._batches.full:
            raise LookupsFull("too many callers wait for the database")
        asking: _Asking[R] = _Asking(jti)  # an alias with [R] would be called for 3 µs more
        if self._traces is None:
            await self._batches.wait(asking)
        else:
            with self._traces.part("look up") as span:
                span.set_attribute("db.system.name", self._db.dialect)
                await self._batches.wait(asking)
        if asking.found is None:
            raise TypeError(asking)
        return asking.found

    def _look(self, batch: list[_Asking[R]]) -> None:
        wanted = sorted({asking.jti for asking in batch if asking.jti is not None})
        with self._db.read(self._kept) as conn:
            registry = self._snapshots.current
            if version(conn) != registry.version:
                registry = self._snapshots.load_in(conn)
            rows = tokens.find_many(conn, wanted)
        for asking in batch:
            row = rows.get(asking.jti) if asking.jti is not None else None
            asking.found = Found(registry, row)
