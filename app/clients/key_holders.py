"""Who holds which key, as this process has seen it. The database decides who was first."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence

from app import clock
from app.store import holders
from app.store.engine import Database, lock_registry
from app.store.holders import HolderRow
from app.store.registry import version

REMEMBERED = 50_000
"""Keys and clients in memory, some 300 octets each; what falls out is asked for again."""


class KeyHolders:
    """Claims of keys by clients. `known` may be called from any thread, `claim` from the loop.

    What is remembered counts for the registry version it was read at, and is read again in the
    next: a claim goes with its client, and a client registered anew is not who it was. Within one
    version no claim goes, and who comes later is the later one's concern.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[str, str], tuple[int, Sequence[HolderRow]]] = OrderedDict()
        self._lock = threading.Lock()

    def known(
        self, spki_sha256: str, client_id: str, registry_version: int
    ) -> Sequence[HolderRow] | None:
        """The key's holders, this client among them, the first first.

        None when it is not known that the client holds the key in this registry version.
        """
        at, rows = self._known.get((spki_sha256, client_id), (None, None))
        return rows if at == registry_version else None

    async def claim(self, spki_sha256: str, client_id: str, tenant: str) -> int:
        """Enter the client, which proved the key, among its holders; the registry version of that.

        Raises `StoreUnavailable`. A client removed meanwhile claims nothing and nothing of it is
        remembered: a decision as of the returned version says that it is unknown.
        """
        found_at, rows = await asyncio.to_thread(self._claim, spki_sha256, client_id, tenant)
        if holders.among(client_id, rows):
            key = (spki_sha256, client_id)
            with self._lock:
                self._known[key] = found_at, rows
                self._known.move_to_end(key)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return found_at

    def _claim(
        self, spki_sha256: str, client_id: str, tenant: str
    ) -> tuple[int, Sequence[HolderRow]]:
        with self._database.read() as conn:  # mostly it was claimed before: no lock, no write
            found = version(conn), holders.of_key(conn, spki_sha256)
        if holders.among(client_id, found[1]):
            return found
        with self._database.begin() as conn:
            lock_registry(conn, exclusive=False)  # the client stays while it is looked at
            rows = holders.claim_if_registered(conn, spki_sha256, client_id, tenant, clock.now())
            return version(conn), rows
