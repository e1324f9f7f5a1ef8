"""The clients' key sets behind `jwks_uri`: fetched beside the requests, read from memory.

Guarantees: a decision reads a copy that some fetch brought back whole, at most `USABLE_FOR` old by
the wall clock, or none; an unknown certificate causes at most one fetch a minute per URI, however
many requests bring it; a slow or broken URI delays only its own client, and that by at most
`WAIT_LIMIT` seconds; no failure is raised to the caller.

Not guaranteed: that a key withdrawn at its URI stops counting at once. It does so with the next
fetch that succeeds: about `FRESH_FOR` in use, and after `USABLE_FOR` where the URI stays down.
Each process keeps its own copies.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from app import clock
from app.jose.document import FetchFailed, FetchRefused, RemoteDocuments
from app.jose.jwks import ClientKey, parse_client_jwks
from app.telemetry import log

FRESH_FOR = 5 * 60
"""Seconds a copy is used without a thought. Spring refreshes as often."""
WAIT_FROM = 2 * FRESH_FOR
"""Older than this, the request waits for the fetch instead of using the copy first: after a quiet
night the first request must not be decided by what was true in the evening."""
RETRY_AFTER = 60
"""Seconds between two fetches of one URI, whether or not the first succeeded."""
USABLE_FOR = 24 * 60 * 60
"""Seconds a copy is used while its URI is down; then its client is refused."""
WAIT_LIMIT = 2.0
"""Seconds a request waits for a fetch, whoever started that."""
MAX_FETCHES = 8
"""Fetches under way at once, over all URIs: with 2 s each, 240 hanging URIs a minute."""
MAX_URIS = 1000
"""Copies kept, the least recently used dropped first: at most 64 MiB of documents' keys."""

Keys = tuple[ClientKey, ...]
Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(slots=True)
class _Entry:
    keys: Keys | None = None
    fetched_at: int = 0
    attempted_at: int | None = None
    problem: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """What an operator may want to know of one URI. Times are None where it never happened."""

    keys: int | None
    fetched_at: int | None
    attempted_at: int | None
    problem: str | None


class RemoteKeys:
    """One per process; lives on one event loop. `keys_for` may be called from any thread."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        ca_file: Path | None = None,
        fetch: Fetch | None = None,
        now: Callable[[], int] = clock.now,
    ) -> None:
        documents = RemoteDocuments(allow_private=allow_private, ca_file=ca_file)
        self._fetch = fetch or documents.fetch
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._slots = asyncio.Semaphore(MAX_FETCHES)

    def keys_for(self, uri: str, now: int) -> Keys | None:
        """The keys at `uri` as last fetched, or None where there is no copy fit for use."""
        entry = self._entries.get(uri)
        if entry is None or entry.keys is None or now - entry.fetched_at > USABLE_FOR:
            return None
        return entry.keys

    async def ensure(self, uri: str, is_known: Callable[[Keys], bool]) -> None:
        """Make the copy of `uri` as good as it can be within `WAIT_LIMIT`; call before deciding.

        `is_known` says whether the presented certificate is found among given keys; where it is
        not, one fetch may be worth the wait. Returns in every case; `keys_for` has the outcome.
        """
        entry = self._entry(uri)
        now = self._now()
        keys = self.keys_for(uri, now)
        age = abs(now - entry.fetched_at)  # a clock that jumped back makes no copy fresher
        if entry.task is None and self._may_fetch(entry, now):
            if keys is not None and age < FRESH_FOR and is_known(keys):
                return
            entry.attempted_at = now
            entry.task = asyncio.create_task(self._refresh(uri, entry))
        if entry.task is None or (keys is not None and age < WAIT_FROM and is_known(keys)):
            return
        await asyncio.wait({entry.task}, timeout=WAIT_LIMIT)

    def status(self, uri: str) -> RemoteStatus:
        """What is held for `uri`."""
        entry = self._entries.get(uri, _Entry())
        if entry.keys is None:
            return RemoteStatus(None, None, entry.attempted_at, entry.problem)
        return RemoteStatus(len(entry.keys), entry.fetched_at, entry.attempted_at, entry.problem)

    async def close(self) -> None:
        """End the fetches under way."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _entry(self, uri: str) -> _Entry:
        entry = self._entries.setdefault(uri, _Entry())
        self._entries.move_to_end(uri)
        while len(self._entries) > MAX_URIS:
            _, oldest = self._entries.popitem(last=False)
            if oldest.task is not None:
                oldest.task.cancel()
        return entry

    @staticmethod
    def _may_fetch(entry: _Entry, now: int) -> bool:
        return entry.attempted_at is None or abs(now - entry.attempted_at) >= RETRY_AFTER

    async def _refresh(self, uri: str, entry: _Entry) -> None:
        try:
            async with self._slots:
                document = await self._fetch(uri)
            keys = tuple(parse_client_jwks(document, allow_empty=True))
        except (FetchRefused, FetchFailed, ValueError) as error:
            self._failed(uri, entry, str(error))
        except Exception as error:  # noqa: BLE001  # promised: no failure reaches a request
            self._failed(uri, entry, type(error).__name__)
        else:
            if entry.problem is not None:
                log().info("jwks_uri.recovered", uri=uri)
            entry.keys, entry.fetched_at, entry.problem = keys, self._now(), None
        finally:
            entry.task = None

    def _failed(self, uri: str, entry: _Entry, problem: str) -> None:
        if entry.problem != problem:  # once, not once a minute
            log().warning("jwks_uri.failed", uri=uri, problem=problem)
        entry.problem = problem
