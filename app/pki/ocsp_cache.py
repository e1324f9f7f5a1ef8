"""OCSP answers: fetched beside the requests, read from memory.

Guarantees: a login waits for a responder at most `WAIT_LIMIT` seconds, and not at all while a
fresh answer is at hand; an answer in use is asked for anew every `REFRESH_AFTER` seconds, or at
half its life where that is shorter; an older answer never replaces a newer one, so nobody on the
way can play back a *good* over a *revoked*, and a responder that has forgotten a certificate
(*unknown*) does not take back its *revoked*; one hanging responder delays only the trust sets that
name it; what a denied responder called good counts no more from the registry version on that denies
it; only URLs from configuration are asked, one question about a certificate at a time. No
failure is raised to the caller. Each process has its own answers, and none after a restart, but
for the *revoked*: those are kept in a `Memory` until a later *good*, and read from there before
each question. Until that was read nobody passes softly.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from app import clock
from app.jose.document import FetchFailed, FetchRefused, Limits, Question, RemoteDocuments
from app.pki.anchors import TrustSet
from app.pki.leaf import Leaf, base64url_sha256
from app.pki.links import Link
from app.pki.ocsp import BARRED, Barred, OcspAnswer, OcspFailure, ask, nobody, read_answer
from app.telemetry import log

OCSP_LIMITS = Limits(
    seconds=5.0,  # beside the requests; a login waits for `WAIT_LIMIT` of them
    connect_seconds=1.5,
    octets=64 * 1024,  # an answer with its responder's certificate has 2 KiB
    content_types=frozenset({"application/ocsp-response"}),
    schemes=frozenset({"http", "https"}),  # answers are signed; RFC 6960 appendix A is http
)
WAIT_LIMIT = 2.0
"""Seconds a login waits for first answers about all certificates of its path together."""
REFRESH_AFTER = 300
"""Seconds: how long a revocation may go unnoticed where the responder knows it at once."""
RETRY_AFTER = 10
"""Seconds between two questions about one certificate, whatever became of the first."""
MAX_ANSWERS = 10_000
"""Kept, the least recently used dropped first: some 10 MB. Only certificates that lie on a valid
path get here, so strangers cannot push others out."""
MAX_QUESTIONS = 8
"""Under way at once for one responder."""

Post = Callable[[str, Limits, Question], Awaitable[bytes]]
Key = tuple[str, bytes, bytes, int]
Certificate = tuple[str, str, str]
"""Trust set, CA (as `LoadedCrl.issuer_key` names it), serial number in hexadecimal."""


class Memory(Protocol):
    """Where it is kept what responders said is revoked. Blocking; may raise anything."""

    def recall(self, trust_set: str, issuer_key: str, serial: str) -> int | None:
        """The date of the *revoked* that is kept, or None."""

    def learn(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Keep a *revoked*."""

    def lift(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Forget it, for a *good* that is later."""


_UNREAD = OcspAnswer(
    known=False,
    revoked=False,
    words="what its responder said before could not be read yet",
    closed=True,
)


@dataclass(slots=True)
class _Entry:
    answer: OcspAnswer | None = None
    answered_at: int = 0
    asked_at: int | None = None
    problem: str = ""
    recalled: bool = False
    """Whether the memory was read, the last time that was tried."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class OcspCache:
    """One per process; lives on one event loop. `answer` may be called from any thread."""

    def __init__(
        self, fetch: Post, now: Callable[[], int] = clock.now, memory: Memory | None = None
    ) -> None:
        """Without a `memory` a revocation is forgotten with the process."""
        self._fetch = fetch
        self._now = now
        self._memory = memory
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._barred: tuple[int, Barred] = (-1, nobody)
        self._lock = threading.Lock()

    @classmethod
    def over(cls, documents: RemoteDocuments, memory: Memory | None = None) -> "OcspCache":
        """The cache that asks through the guarded fetch."""
        return cls(documents.fetch, memory=memory)

    def bar(self, version: int, barred: Barred) -> None:
        """Believe no responder that is barred as of registry `version`; an older one changes nothing."""
        with self._lock:
            if version >= self._barred[0]:
                self._barred = version, barred

    def answer(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """The last answer about a certificate, stale or not; where there is none, why."""
        entry = self._entries.get(_key(trust_set, issuer, serial))
        recalled = self._memory is None or (entry is not None and entry.recalled)
        answer = entry.answer if entry is not None else None
        if entry is not None and answer is None and entry.problem:
            answer = OcspAnswer(known=False, revoked=False, words=entry.problem)
        if answer is not None and self._is_void(answer):
            answer = OcspAnswer(known=False, revoked=False, words=BARRED)
        if recalled:
            return answer
        return _UNREAD if answer is None else replace(answer, closed=True)

    async def ensure(self, links: Sequence[Link], trust_set: TrustSet) -> None:
        """Have answers about all `links` as good as they can be within `WAIT_LIMIT`; call before deciding.

        Returns in every case; `answer` has the outcome.
        """
        policy = trust_set.revocation
        if policy.mode != "ocsp":
            return
        awaited = set()
        for link in links:
            issuer, serial = link.issuers[0], link.serial
            entry = self._entry(_key(trust_set.name, issuer, serial))
            fresh = self._is_fresh(entry, policy.max_staleness)
            if entry.task is None and self._is_due(entry, policy.max_staleness, fresh=fresh):
                entry.asked_at = self._now()
                question = self._refresh(trust_set, entry, issuer, serial)
                entry.task = asyncio.create_task(question)
            if entry.task is not None and not fresh:
                awaited.add(entry.task)
        if awaited:
            await asyncio.wait(awaited, timeout=WAIT_LIMIT)

    async def close(self) -> None:
        """End the questions under way."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _entry(self, key: Key) -> _Entry:
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ANSWERS:
            _, oldest = self._entries.popitem(last=False)
            if oldest.task is not None:
                oldest.task.cancel()
        return entry

    def _is_fresh(self, entry: _Entry, max_staleness: int) -> bool:
        answer = entry.answer
        if answer is None or self._is_void(answer):
            return False
        return self._now() < answer.ends(max_staleness)

    def _is_void(self, answer: OcspAnswer) -> bool:
        """Whether its word no longer counts. A *revoked* does: who was stopped stays so."""
        responder = answer.responder
        return not answer.revoked and responder is not None and self._barred[1](responder)

    def _is_due(self, entry: _Entry, max_staleness: int, *, fresh: bool) -> bool:
        now = self._now()
        if entry.asked_at is not None and abs(now - entry.asked_at) < RETRY_AFTER:
            return False
        if not fresh or entry.answer is None:
            return True
        life = entry.answer.ends(max_staleness) - entry.answered_at
        return abs(now - entry.answered_at) >= min(REFRESH_AFTER, life // 2)

    async def _refresh(self, trust_set: TrustSet, entry: _Entry, issuer: Leaf, serial: int) -> None:
        problem, url = "", trust_set.revocation.urls[0]
        about = (trust_set.name, base64url_sha256(issuer.subject + issuer.facts.spki_der))
        certificate = (*about, f"{serial:x}")
        try:
            if not await self._recalled(entry, certificate):
                return
            question = ask(issuer, serial)
            posted = Question(question.encoded, "application/ocsp-request")
            async with self._slots.setdefault(url, asyncio.Semaphore(MAX_QUESTIONS)):
                encoded = await self._fetch(url, OCSP_LIMITS, posted)
            answer = read_answer(question, encoded, self._now(), self._barred[1])
            held = entry.answer
            if held is not None and self._is_void(held):
                held = None
            problem = _objection(held, answer)
            if not problem:
                before, entry.answer, entry.answered_at = entry.answer, answer, self._now()
                await self._keep(before, answer, certificate)
        except (FetchRefused, FetchFailed, OcspFailure) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - promised: no failure reaches a request
            problem = type(error).__name__
        finally:
            entry.task = None
        if problem and problem != entry.problem:  # once, not at every login
            log().warning("ocsp.failed", url=url, serial=f"{serial:x}", problem=problem)
        elif entry.problem and not problem:
            log().info("ocsp.recovered", url=url, serial=f"{serial:x}")
        entry.problem = problem

    async def _recalled(self, entry: _Entry, certificate: Certificate) -> bool:
        """Let what was learned before count, by this process or another; False: it is not known."""
        if self._memory is None:
            return True
        entry.recalled = False
        try:
            this_update = await asyncio.to_thread(self._memory.recall, *certificate)
        except Exception as error:  # noqa: BLE001 - the store's errors are not ours to know
            entry.asked_at = None  # the next login tries again
            log().warning("ocsp.unread", serial=certificate[2], cause=repr(error))
            return False
        if this_update is not None and _outweighs(this_update, entry.answer):
            words = f"OCSP answer of {clock.iso(this_update)}, kept since: revoked"
            entry.answer = OcspAnswer(
                known=True, revoked=True, words=words, this_update=this_update
            )
        entry.recalled = True
        return True

    async def _keep(
        self, before: OcspAnswer | None, answer: OcspAnswer, certificate: Certificate
    ) -> None:
        """Write down a *revoked*, or that it was taken back. In memory both count already."""
        if self._memory is None or not answer.known:
            return
        if answer.revoked:
            act = self._memory.learn
        elif before is not None and before.revoked:
            act = self._memory.lift
        else:
            return
        try:
            await asyncio.to_thread(act, *certificate, answer.this_update)
        except Exception as error:  # noqa: BLE001 - as above; after the next question it is tried again
            log().warning("ocsp.unkept", serial=certificate[2], cause=repr(error))


def _outweighs(this_update: int, held: OcspAnswer | None) -> bool:
    """Whether a kept *revoked* of this date counts more than the answer at hand."""
    if held is None or not held.known:
        return True
    return held.this_update < this_update or (held.this_update == this_update and not held.revoked)


def _objection(held: OcspAnswer | None, answer: OcspAnswer) -> str:
    """Why `answer` must not replace the one at hand; empty: it may."""
    if held is None:
        return ""
    if answer.this_update < held.this_update:
        return "the responder gave an older answer than before"
    if held.revoked and not answer.known:
        return "the responder does not know any more what it said was revoked"
    if held.revoked and not answer.revoked and answer.this_update <= held.this_update:
        return "the responder said *good* in an answer no later than its *revoked*"
    return ""


def _key(trust_set: str, issuer: Leaf, serial: int) -> Key:
    return trust_set, issuer.subject, issuer.facts.spki_der, serial
