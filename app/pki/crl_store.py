"""The CRLs that the registry names, loaded, in the memory of this process.

Guarantees that from the registry version which names a list no decision rests on the silence of the
one before: until the new one is there its trust set is `loading`, and where it cannot be used, the
old one only revokes. That decisions read without waiting (`loaded` waits, before them); that a list
is parsed once, however often the registry changes, and big ones in a thread of their own. A list
counts for a trust set only while a certificate of that set vouches for its signer.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol

from app.pki.anchors import TrustSet, material
from app.pki.crl import LoadedCrl, load_for
from app.pki.leaf import Leaf
from app.pki.ocsp import OcspAnswer
from app.pki.ocsp_cache import OcspCache
from app.telemetry import log

AT_ONCE = 2000
"""Entries that are loaded while a registry version is built: some 5 ms. Requests wait for more."""
RETRY_AFTER = 2.0
"""Seconds until a list is asked for again that the database did not give."""
_MAX_OFFERED = 8  # fetched lists on their way through the database

Slot = tuple[str, str, str]
"""Trust set, issuer key, partition: one list each."""
Attempt = tuple[Slot, bytes, str]
"""A list for a slot, under a trust set as it is: digests of both."""


class CrlReference(Protocol):
    """What the registry says of one list."""

    @property
    def trust_set(self) -> str:
        """Name."""

    @property
    def issuer_key(self) -> str:
        """As `LoadedCrl.issuer_key`."""

    @property
    def partition(self) -> str:
        """As `LoadedCrl.partition`."""

    @property
    def digest(self) -> str:
        """As `LoadedCrl.digest`."""

    @property
    def entries(self) -> int:
        """How many revocations."""


class Revocation:
    """The `RevocationSource` of a process. Any thread may call any method."""

    def __init__(self, read: Callable[[str], bytes | None], answers: OcspCache) -> None:
        """`read` gives the DER of a list by digest, None where it is gone; it may block."""
        self._read = read
        self._answers = answers
        self._lock = threading.Lock()
        self._version = -1
        self._trust_sets: Mapping[str, TrustSet] = {}
        self._wanted: Mapping[Slot, CrlReference] = {}
        self._parsed: dict[str, LoadedCrl] = {}
        self._offered: dict[str, LoadedCrl] = {}
        self._counting: dict[Slot, LoadedCrl] = {}
        self._unusable: set[Attempt] = set()
        self._vouched: dict[Attempt, LoadedCrl] = {}
        self._by_set: Mapping[str, tuple[LoadedCrl, ...]] = {}
        self._loading: Mapping[str, Future[None]] = {}
        self._told: dict[tuple[Slot, str], str] = {}
        self._worker: threading.Thread | None = None
        self._settled = threading.Event()
        self._settled.set()
        self._closing = threading.Event()

    def crls(self, trust_set: str) -> Sequence[LoadedCrl]:
        """The lists that count for a trust set, stale ones included."""
        return self._by_set.get(trust_set, ())

    def loading(self, trust_set: str) -> bool:
        """Whether a list that the registry names for a trust set is not there yet.

        Ask before `crls`: what that gives then is at least as new as this answer.
        """
        return trust_set in self._loading

    async def loaded(self, trust_set: str, seconds: float) -> None:
        """Wait until every list of a trust set is there or known to be unusable, or for so long."""
        if (coming := self._loading.get(trust_set)) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.wrap_future(coming)

    def ocsp(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """The last answer about a certificate."""
        return self._answers.answer(trust_set, issuer, serial)

    def follow(
        self, version: int, trust_sets: Iterable[TrustSet], named: Iterable[CrlReference]
    ) -> None:
        """Let count what registry `version` names; an older version changes nothing."""
        with self._lock:
            if version < self._version:
                return
            self._version = version
            self._trust_sets = {each.name: each for each in trust_sets}
            self._wanted = {
                _slot(each): each for each in named if each.trust_set in self._trust_sets
            }
            missing = {each.digest: each for each in self._missing()}
        for each in missing.values():
            if each.entries <= AT_ONCE:
                self._load(each)
        with self._lock:
            self._settle()

    def offer(self, crl: LoadedCrl) -> None:
        """Keep a list just fetched, so that it need not be parsed again when the registry names it.

        Where it is named already, it counts at once, though the database may have lost it.
        """
        with self._lock:
            self._offered[crl.digest] = crl
            while len(self._offered) > _MAX_OFFERED:
                del self._offered[next(iter(self._offered))]
            if any(each.digest == crl.digest for each in self._wanted.values()):
                self._unusable = {each for each in self._unusable if each[2] != crl.digest}
                self._missing()  # takes it from those offered
                self._settle()

    def withdraw(self, crl: LoadedCrl) -> None:
        """Let go of an offered list that the registry will not name."""
        with self._lock:
            self._offered.pop(crl.digest, None)

    def wait(self, seconds: float) -> bool:
        """Wait until every list that the registry names was tried; whether that came to pass."""
        return self._settled.wait(seconds)

    def close(self) -> None:
        """End the loading; what counts goes on counting."""
        self._closing.set()

    def _missing(self) -> list[CrlReference]:
        """What is wanted and neither parsed nor known to be unusable. Holds the lock."""
        found = []
        for slot, each in self._wanted.items():
            if each.digest in self._offered:
                self._parsed[each.digest] = self._offered.pop(each.digest)
            tried = self._attempt(slot, each.digest) in self._unusable
            if each.digest not in self._parsed and not tried:
                found.append(each)
        return found

    def _attempt(self, slot: Slot, digest: str) -> Attempt:
        return slot, self._trust_sets[slot[0]].digest, digest

    def _load(self, each: CrlReference) -> bool:
        """Parse one list; False where the database did not give it and may yet."""
        with self._lock:
            trust_set = self._trust_sets.get(each.trust_set)
        if trust_set is None:
            return True
        try:
            data = self._read(each.digest)
            if data is None:  # replaced meanwhile: a newer version names another
                raise ValueError("the list is no longer stored")  # noqa: TRY301 - one way to fail
            crl = load_for(trust_set, data)
        except ValueError as problem:
            with self._lock:
                self._tell(_slot(each), each.digest, "crl.unusable", problem)
                self._unusable.add((_slot(each), trust_set.digest, each.digest))
            return True
        except Exception as problem:  # noqa: BLE001 - the database's errors are not ours to know
            with self._lock:
                self._tell(_slot(each), each.digest, "crl.unread", problem)
            return False
        with self._lock:
            self._parsed[crl.digest] = crl
        return True

    def _settle(self) -> None:
        """Let count what is there, and have the rest loaded. Holds the lock."""
        counting = {}
        for slot, each in self._wanted.items():
            new, old = self._parsed.get(each.digest), self._counting.get(slot)
            if new is not None and (vouched := self._judged(slot, new)) is not None:
                counting[slot] = vouched
                self._told.pop((slot, each.digest), None)  # should it end again, that is news
            elif old is not None and (vouched := self._judged(slot, old)) is not None:
                counting[slot] = vouched.only_revoking()
        self._counting = counting
        self._forget()
        by_set: dict[str, tuple[LoadedCrl, ...]] = {}
        for (trust_set, _, _), crl in counting.items():
            by_set[trust_set] = (*by_set.get(trust_set, ()), crl)
        self._by_set = by_set
        missing = self._missing()
        self._await({each.trust_set for each in missing})
        if not missing:
            self._settled.set()
        elif self._worker is None:
            self._settled.clear()
            self._worker = threading.Thread(target=self._work, name="crl-loader", daemon=True)
            self._worker.start()

    def _await(self, trust_sets: set[str]) -> None:
        """These are loading, and no others. Holds the lock; `_by_set` is as it will be read."""
        before = self._loading
        self._loading = {name: before.get(name) or _running() for name in trust_sets}
        for name in before.keys() - trust_sets:
            before[name].set_result(None)

    def _tell(self, slot: Slot, digest: str, event: str, problem: Exception) -> None:
        """Log what is wrong with a list of a slot, once for as long as that does not change."""
        text = f"{event}: {problem}"
        if self._told.get((slot, digest)) != text:
            self._told[slot, digest] = text
            log().error(event, trust_set=slot[0], problem=str(problem) or repr(problem))

    def _forget(self) -> None:
        """Drop what no slot names any more, tens of megabytes each."""
        wanted = {self._attempt(slot, each.digest) for slot, each in self._wanted.items()}
        counting = {self._attempt(slot, crl.digest) for slot, crl in self._counting.items()}
        digests = {digest for _, _, digest in wanted}
        self._parsed = {digest: crl for digest, crl in self._parsed.items() if digest in digests}
        self._unusable &= wanted | counting
        self._vouched = {at: crl for at, crl in self._vouched.items() if at in wanted | counting}
        self._told = {at: text for at, text in self._told.items() if at[0] in self._wanted}

    def _judged(self, slot: Slot, crl: LoadedCrl) -> LoadedCrl | None:
        """The list as its trust set sees it; None where no certificate of the set signed it."""
        trust_set = self._trust_sets[slot[0]]
        attempt = (slot, trust_set.digest, crl.digest)
        if attempt in self._vouched or attempt in self._unusable:
            return self._vouched.get(attempt)
        try:
            self._vouched[attempt] = crl.under(material(trust_set).signers_of_crls())
        except ValueError as problem:
            self._tell(slot, crl.digest, "crl.unusable", problem)
            self._unusable.add(attempt)
        return self._vouched.get(attempt)

    def _work(self) -> None:
        unread: set[str] = set()
        while not self._closing.is_set():
            with self._lock:
                missing = self._missing()
                if not missing:
                    self._worker = None
                    self._settle()
                    return
            first = next((each for each in missing if each.digest not in unread), None)
            if first is None:
                self._closing.wait(RETRY_AFTER)
                unread.clear()
            elif not self._load(first):
                unread.add(first.digest)
            with self._lock:
                self._settle()


def _running() -> Future[None]:
    """To be waited for by many; one who gives up does not end it for others."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def _slot(each: CrlReference) -> Slot:
    return each.trust_set, each.issuer_key, each.partition
