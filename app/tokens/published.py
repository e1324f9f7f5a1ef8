"""The status lists of this server as of now, for whoever asks, known or not.

Guarantees that a list given out was read from the database after it was asked for: a revocation
that was committed before is in it, whichever process made it. Many who ask at once cost one
transaction, for at any time one reader at most is at work; whoever comes while it reads waits for
the next. What is dear, packing and signing, is done again only where places changed or the
signed list grew old.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from app.jose.jwt import Signer
from app.store import status_lists
from app.store.engine import Database, Transaction
from app.store.patience import bounded
from app.store.status_lists import Mark
from app.tokens.status import SIZE
from app.tokens.status_document import Document, bits, packed, signed

KEPT = 32
"""Lists kept ready, of up to 350 KB each. A process opens four a day, and they live six hours and
a token's life."""
_AT_ONCE = 256
"""Lists that one transaction looks for, so that a flood of invented ids holds nobody up for long."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A list as it was built last."""

    mark: Mark
    lst: str
    document: Document


@dataclass(frozen=True, slots=True)
class Now:
    """The moment and the key that a list is signed with."""

    at: int
    signer: Signer


def nobody() -> None:
    """For lists that nobody counts."""


class PublishedLists:
    """One per process. To be asked on one event loop; the database is read in a thread."""

    def __init__(
        self,
        db: Database,
        *,
        issuer: str,
        url: Callable[[str], str],
        ttl: int,
        now: Callable[[], Now],
        size: int = SIZE,
        tell: Callable[[], None] = nobody,
    ) -> None:
        """`tell` is called for each list that is signed."""
        self._tell = tell
        self._db = db
        self._issuer = issuer
        self._url = url
        self._ttl = ttl
        self._now = now
        self._size = size
        self._ready: OrderedDict[str, _Ready] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Document | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def fetch(self, list_id: str) -> Document | None:
        """The list, signed; None where there is none, or all its tokens have expired.

        Raises:
            StoreUnavailable: the database does not answer.

        """
        future = self._waiting.get(list_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[list_id] = future
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_all())
        return await bounded(asyncio.shield(future))

    async def _read_all(self) -> None:
        """Answer everybody, one transaction after the other, until nobody waits."""
        try:
            while self._waiting:
                ids = list(self._waiting)[:_AT_ONCE]
                batch = {list_id: self._waiting.pop(list_id) for list_id in ids}
                try:
                    found = await asyncio.to_thread(self._read, ids)
                except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                    for future in batch.values():
                        future.set_exception(error)
                        future.exception()  # looked at: nobody may be waiting any more
                else:
                    for list_id, future in batch.items():
                        future.set_result(found.get(list_id))
        finally:
            self._reader = None

    def _read(self, ids: Collection[str]) -> dict[str, Document]:
        """The lists of these ids that there are; in the one thread that reads."""
        now = self._now()
        found = {}
        with self._db.read() as conn:
            for list_id in ids:
                row = status_lists.find(conn, list_id)
                if row is not None and row.ends_at > now.at:
                    self._ready[list_id] = self._built(conn, list_id, now)
                    self._ready.move_to_end(list_id)
                    found[list_id] = self._ready[list_id].document
        while len(self._ready) > KEPT:
            self._ready.popitem(last=False)
        return found

    def _built(self, conn: Transaction, list_id: str, now: Now) -> _Ready:
        before = self._ready.get(list_id)
        mark = status_lists.mark(conn, list_id)
        same = before is not None and before.mark == mark
        if before is not None and same and self._is_young(before.document, now):
            return before
        if before is not None and same:
            lst = before.lst
        else:
            lst = packed(bits(status_lists.revoked(conn, list_id), self._size))
        document = signed(
            lst,
            uri=self._url(list_id),
            issuer=self._issuer,
            ttl=self._ttl,
            signer=now.signer,
            now=now.at,
        )
        self._tell()
        return _Ready(mark, lst, document)

    def _is_young(self, document: Document, now: Now) -> bool:
        """Whether it may go out again: a quarter of its time, so that most is left to its reader."""
        age = now.at - document.signed_at
        return 0 <= age <= self._ttl // 4 and document.kid == now.signer.kid
