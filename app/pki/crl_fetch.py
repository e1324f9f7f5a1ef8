"""CRLs from configured URLs, fetched in the background and handed on to be stored.

Guarantees: no login waits for a fetch, and no trust set for another's sources that hang; one
document of at most 64 MiB within 30 seconds, and `MAX_LARGE` large ones in memory at once, however
many trust sets there are; no redirect, no private address unless allowed; a list that is broken,
older than the one that counts, of the future or signed by somebody else changes nothing, and is
logged once; so is one that was stored and yet counts for nothing `SETTLES` seconds later. The next fetch follows the list's own dates within `MIN_INTERVAL` and `MAX_INTERVAL`. Each process fetches for itself; the store
decides which list is newest. No URL in a certificate or CRL is ever followed.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from app import clock
from app.jose.document import FetchFailed, FetchRefused, Limits, RemoteDocuments
from app.pki.anchors import TrustSet
from app.pki.crl import CLOCK_SKEW, MAX_BYTES, LoadedCrl, load_for, to_der
from app.pki.crl_store import Revocation
from app.telemetry import log

CRL_LIMITS = Limits(
    seconds=30.0,
    connect_seconds=5.0,
    octets=MAX_BYTES,
    content_types=None,  # CAs say application/pkix-crl, x-pkcs7-crl, octet-stream, nothing
    schemes=frozenset({"http", "https"}),  # a CRL is signed, and most CAs publish over http alone
)
MIN_INTERVAL = 60
"""Seconds between two fetches of one URL, also after a failure."""
MAX_INTERVAL = 60 * 60
"""Seconds until a CA's early CRL, published after a compromise, is noticed."""
MAX_FETCHES = 1
"""Under way at once for one trust set. A set's slow sources hold up no other set."""
MAX_LARGE = 2
"""Lists of more than `UNPLACED` octets that the process fetches, parses and stores at once: 64 MiB
each, and some 40 MB when parsed. Who gets no place within its seconds is fetched a minute later."""
SETTLES = 30
"""Seconds until a stored list counts at the latest, the time aside that reading a long one takes."""
WAIT_LIMIT = 2.0
"""Seconds `round` waits for what is under way: most lists are there by then."""

Fetch = Callable[[str, Limits], Awaitable[bytes]]
Deliver = Callable[[TrustSet, LoadedCrl, bytes], bool]
"""Store a list (its DER last); False where the stored one is newer. Blocking; may raise."""


@dataclass(slots=True)
class _Source:
    due: int = 0
    tried_for: bytes = b""
    """Digest of the trust set as it was at the last try: for another one it is tried at once."""
    next_update: int = 0
    problem: str = ""
    taken: tuple[str, str] | None = None
    """Issuer key and partition of what the last fetch brought; None: it failed."""
    taken_at: int = 0
    told: bool = False
    """Whether it was said that this does not count."""


class CrlFetcher:
    """One per process; lives on one event loop."""

    def __init__(
        self,
        fetch: Fetch,
        revocation: Revocation,
        deliver: Deliver,
        now: Callable[[], int] = clock.now,
    ) -> None:
        self._fetch = fetch
        self._revocation = revocation
        self._deliver = deliver
        self._now = now
        self._sources: dict[tuple[str, str], _Source] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._large = asyncio.Semaphore(MAX_LARGE)
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    @classmethod
    def over(
        cls, documents: RemoteDocuments, revocation: Revocation, deliver: Deliver
    ) -> "CrlFetcher":
        """The fetcher that uses the guarded fetch."""
        return cls(documents.fetch, revocation, deliver)

    async def round(self, trust_sets: Iterable[TrustSet]) -> None:
        """Begin to fetch what is due for these sets. Call every few seconds; raises nothing of its own.

        What takes longer than `WAIT_LIMIT` goes on, unless its set or URL is gone at a later round.
        """
        wanted = {
            (each.name, url): each
            for each in trust_sets
            if each.revocation.mode == "crl"
            for url in each.revocation.urls
        }
        self._sources = {key: self._sources.get(key, _Source()) for key in wanted}
        names = {name for name, _ in wanted}
        self._slots = {
            name: self._slots.get(name) or asyncio.Semaphore(MAX_FETCHES) for name in names
        }
        for key, task in self._running.items():
            if key not in wanted:
                task.cancel()
        for key, source in self._sources.items():
            if key not in self._running and self._is_due(source, wanted[key]):
                visit = self._visit(wanted[key], key[1], source)
                task = self._running[key] = asyncio.create_task(visit)
                task.add_done_callback(partial(self._ended, key))
            elif key not in self._running:
                self._tell_silent(wanted[key], key[1], source)
        if self._running:
            await asyncio.wait(self._running.values(), timeout=WAIT_LIMIT)

    async def close(self) -> None:
        """End what is under way. What is being stored already is finished."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: tuple[str, str], _task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)

    def _tell_silent(self, trust_set: TrustSet, url: str, source: _Source) -> None:
        """Log that a set has no list although its source gave one, once for as long as it is so."""
        if source.taken is None or self._now() - source.taken_at < SETTLES:
            return
        loading = self._revocation.loading(trust_set.name)
        counting = self._revocation.crls(trust_set.name)
        if loading or any((one.issuer_key, one.partition) == source.taken for one in counting):
            source.told = False
        elif not source.told:
            source.told = True
            log().error("crl.does_not_count", trust_set=trust_set.name, url=url)

    def _is_due(self, source: _Source, trust_set: TrustSet) -> bool:
        changed = source.tried_for != trust_set.digest
        # a clock that jumped back must not put the next fetch off for long
        return changed or self._now() >= source.due or source.due - self._now() > MAX_INTERVAL

    async def _visit(self, trust_set: TrustSet, url: str, source: _Source) -> None:
        problem = ""
        source.tried_for, source.taken = trust_set.digest, None
        try:
            async with self._slots[trust_set.name], AsyncExitStack() as held:
                place = partial(held.enter_async_context, self._large)
                data = await self._fetch(url, replace(CRL_LIMITS, place=place))
                await asyncio.to_thread(self._take, trust_set, source, data)
        except (FetchRefused, FetchFailed, ValueError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - the next round tries again
            problem = repr(error)
        source.due = self._now() + self._interval(source, failed=bool(problem))
        about = {"trust_set": trust_set.name, "url": url}
        if problem and problem != source.problem:  # once, not once a minute
            log().warning("crl.fetch_failed", **about, problem=problem)
        elif source.problem and not problem:
            log().info("crl.fetch_recovered", **about)
        source.problem = problem

    def _take(self, trust_set: TrustSet, source: _Source, data: bytes) -> None:
        der = to_der(data)
        digest = hashlib.sha256(der).hexdigest()
        counting = self._revocation.crls(trust_set.name)
        crl = next((each for each in counting if each.digest == digest), None)
        if crl is None:  # a list that counts already is neither parsed nor stored again
            crl = load_for(trust_set, der)
            if crl.this_update > self._now() + CLOCK_SKEW:
                # Stored, it would replace the list that counts, and show nothing until it begins.
                raise ValueError(f"the CRL begins only at {clock.iso(crl.this_update)}")
            self._revocation.offer(crl)
            try:
                stored = self._deliver(trust_set, crl, der)
            except BaseException:
                self._revocation.withdraw(crl)
                raise
            if not stored:
                self._revocation.withdraw(crl)
                raise ValueError(f"CRL {crl.number} is older than the one that is stored")
        source.next_update = crl.next_update
        source.taken, source.taken_at = (crl.issuer_key, crl.partition), self._now()

    def _interval(self, source: _Source, *, failed: bool) -> int:
        """Half of what is left of the list, so that there is time for another try."""
        if failed:
            return MIN_INTERVAL
        left = (source.next_update - self._now()) // 2
        return max(MIN_INTERVAL, min(left, MAX_INTERVAL))
