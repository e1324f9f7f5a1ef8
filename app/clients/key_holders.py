"""Who holds which key, as this process has seen it. The database decides who was first."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence

from app import clock
from app.store import holders
from app.store.engine import Database, lock_registry
from app.store.holders import HolderRow

REMEMBERED = 50_000
"""Keys and clients in memory, some 300 octets each; what falls out is asked for again."""


class KeyHolders:
    """Claims of keys by clients. `known` may be called from any thread, `claim` from the loop.

    A claim is entered once per process and read from memory afterwards: who came later is the
    later one's concern, so a holder's own view never goes stale to its disadvantage.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[str, str], Sequence[HolderRow]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, spki_sha256: str, client_id: str) -> Sequence[HolderRow] | None:
        """All holders of the key when this client claimed it, the first first; None: not claimed."""
        return self._known.get((spki_sha256, client_id))

    async def claim(self, spki_sha256: str, client_id: str, tenant: str) -> None:
        """Enter the client among the key's holders.

        Raises `StoreUnavailable`. A client removed meanwhile claims nothing, and the decision that
        follows says that it is unknown.
        """
        rows = await asyncio.to_thread(self._claim, spki_sha256, client_id, tenant)
        with self._lock:
            self._known[(spki_sha256, client_id)] = rows
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _claim(self, spki_sha256: str, client_id: str, tenant: str) -> Sequence[HolderRow]:
        with self._database.begin() as conn:
            lock_registry(conn, exclusive=False)  # the client stays while it is looked at
            return holders.claim_if_registered(conn, spki_sha256, client_id, tenant, clock.now())
