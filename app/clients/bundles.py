"""Keeping the anchors of SPIFFE trust domains as fresh as the bundles they come from.

Guarantees: a bundle comes from the file or https URL that an operator configured, and from nowhere
else; a broken, vanished or slow source, or a sequence that goes back, changes nothing and is logged
once; a copy older than its maximum staleness vouches for nobody (`is_stale`, reason
``bundle_stale``). A change of anchors is one transaction with its audit entry. All of it happens
beside the requests, which never wait for a source.

Several processes may refresh one set: who stored last within the interval spares the others the
work. A load that changes nothing only renews the date, without an audit entry.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.audit import BundleReplaced
from app.jose.document import FetchFailed, FetchRefused, Limits, RemoteDocuments, examine_url
from app.pki import check
from app.pki.bundle import MAX_BUNDLE, Bundle, parse_bundle
from app.store import audit, registry, trust
from app.store.engine import Database, StoreUnavailable
from app.store.trust import BundleRow, TrustAnchorRow, TrustSetRow
from app.telemetry import log

MIN_REFRESH = 60
MAX_REFRESH = 24 * 60 * 60
"""Seconds: bounds for a publisher's ``spiffe_refresh_hint``."""
DEFAULT_REFRESH = 300
"""Seconds, where there is no hint; SPIRE's own default."""
RETRY_AFTER = 60
"""Seconds between two attempts at one source."""
LOOK_INTERVAL = 5.0
"""Seconds between two calls of `refresh_once`, so that a new source is read soon."""
WAIT_LIMIT = 15.0
"""Seconds `refresh_once` waits for what it started; a file system that hangs does not hold it."""

LIMITS = Limits(seconds=10.0, connect_seconds=3.0, octets=MAX_BUNDLE)
"""Nobody waits for a bundle, and it is larger than a client's key set."""


def refresh_interval(bundle: BundleRow) -> int:
    """Seconds between two loads: the hint within its bounds, or sooner where copies age sooner."""
    hint = DEFAULT_REFRESH if bundle.refresh_hint is None else bundle.refresh_hint
    interval = min(max(hint, MIN_REFRESH), MAX_REFRESH)
    if bundle.max_staleness:
        interval = min(interval, bundle.max_staleness // 2)
    return max(interval, MIN_REFRESH)


def usable_for(bundle: BundleRow) -> int:
    """Seconds a copy vouches for anybody: as configured, or (0) two refresh intervals.

    Never less than two of the shortest intervals: a copy must live until the next can be had.
    """
    return max(bundle.max_staleness or 2 * refresh_interval(bundle), 2 * MIN_REFRESH)


def is_stale(bundle: BundleRow, now: int) -> bool:
    """Whether the copy is too old to vouch for anybody; a date far in the future is no better."""
    return bundle.fetched_at is None or abs(now - bundle.fetched_at) > usable_for(bundle)


def checked_source(text: str) -> str:
    """What may be configured: an https URL, or a file as its absolute path.

    Raises:
        ValueError: with a message for people. Nothing is read or resolved here.

    """
    if "://" in text:
        examine_url(text)
        return text
    if not text or "\0" in text:
        raise ValueError("a bundle comes from a file or an https URL")
    return str(Path(text).absolute())


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """What an operator or a metric may want to know of one set's source."""

    trust_set: str
    source: str
    sequence: int | None
    age: int | None
    """Seconds; None: never loaded."""
    stale: bool
    problem: str | None
    """Of this process's last attempt; None: it went well, or there was none."""


@dataclass(slots=True)
class _Attempt:
    source: str
    at: int
    problem: str | None = None


class Bundles:
    """The background loader of one process; lives on one event loop."""

    def __init__(
        self,
        db: Database,
        rows: Callable[[], Sequence[TrustSetRow]],
        documents: RemoteDocuments,
        *,
        actor: str = "server",
        now: Callable[[], int] = clock.now,
    ) -> None:
        self._db = db
        self._rows = rows
        self._documents = documents
        self._actor = actor
        self._now = now
        self._attempts: dict[str, _Attempt] = {}
        self._stale: set[str] = set()
        self._running: dict[str, asyncio.Task[str | None]] = {}

    async def refresh_once(self) -> None:
        """Load every bundle that is due, all at once; call it every `LOOK_INTERVAL` seconds."""
        now = self._now()
        for row in self._followed():
            self._tell_staleness(row, now)
            if row.name not in self._running and self._is_due(row, now):
                self._running[row.name] = asyncio.create_task(self.refresh(row))
        if self._running:
            await asyncio.wait(self._running.values(), timeout=WAIT_LIMIT)

    async def refresh(self, row: TrustSetRow) -> str | None:
        """Load one set's bundle now, due or not; None, or what went wrong, for people."""
        if row.bundle is None:
            return "the trust set follows no bundle"
        attempt = _Attempt(row.bundle.source, self._now())
        previous = self._attempts.get(row.name)
        self._attempts[row.name] = attempt
        try:
            data = await self._read(row.bundle.source)
            await asyncio.to_thread(self._store, row, data)
        except (FetchRefused, FetchFailed, StoreUnavailable, ValueError, OSError) as error:
            attempt.problem = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001  # promised: one source never ends the others
            attempt.problem = type(error).__name__
        finally:
            self._running.pop(row.name, None)
        _tell_outcome(row.name, previous, attempt)
        return attempt.problem

    def status(self) -> list[BundleStatus]:
        """How each followed bundle stands."""
        now = self._now()
        return [self._status(row.name, row.bundle, now) for row in self._followed() if row.bundle]

    async def close(self) -> None:
        """End what is under way. What a transaction holds already is finished."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _followed(self) -> list[TrustSetRow]:
        return [row for row in self._rows() if row.bundle is not None]

    def _is_due(self, row: TrustSetRow, now: int) -> bool:
        bundle, last = row.bundle, self._attempts.get(row.name)
        if bundle is None:
            return False
        if last is not None and last.source == bundle.source and abs(now - last.at) < RETRY_AFTER:
            return False
        return bundle.fetched_at is None or abs(now - bundle.fetched_at) >= refresh_interval(bundle)

    def _status(self, name: str, bundle: BundleRow, now: int) -> BundleStatus:
        attempt = self._attempts.get(name)
        return BundleStatus(
            name,
            bundle.source,
            bundle.sequence,
            None if bundle.fetched_at is None else now - bundle.fetched_at,
            is_stale(bundle, now),
            None if attempt is None else attempt.problem,
        )

    def _tell_staleness(self, row: TrustSetRow, now: int) -> None:
        if row.bundle is None or not is_stale(row.bundle, now):
            self._stale.discard(row.name)
        elif row.name not in self._stale and row.bundle.fetched_at is not None:
            self._stale.add(row.name)
            log().error(
                "bundle.stale",
                trust_set=row.name,
                loaded=clock.iso(row.bundle.fetched_at),
                usable_for=usable_for(row.bundle),
            )

    async def _read(self, source: str) -> bytes:
        if "://" in source:
            return await self._documents.fetch(source, LIMITS)
        return await asyncio.to_thread(_read_file, Path(source))

    def _store(self, row: TrustSetRow, data: bytes) -> None:
        """Parse and store. Raises ValueError for what must not replace the copy."""
        bundle, now = parse_bundle(data), self._now()
        members = tuple(_member(der, now) for der in bundle.anchors)
        with registry.change(self._db) as conn:
            known = next((each for each in trust.listed(conn) if each.name == row.name), None)
            if known is None or known.bundle is None or row.bundle is None:
                raise ValueError("the trust set was removed, or follows no bundle any more")
            if known.bundle.source != row.bundle.source:
                raise ValueError("another source was configured meanwhile")
            if not trust.replace_bundle(
                conn,
                row.name,
                members,
                sequence=bundle.sequence,
                refresh_hint=bundle.refresh_hint,
                at=now,
            ):
                raise ValueError(_went_back(known.bundle, bundle))
            if (details := _difference(known, bundle)) is not None:
                audit.append_admin(conn, BundleReplaced(actor=self._actor, details=details))


def _went_back(known: BundleRow, bundle: Bundle) -> str:
    stated = "no spiffe_sequence" if bundle.sequence is None else f"sequence {bundle.sequence}"
    return f"the bundle goes back: {stated}, after {known.sequence}"


def _difference(known: TrustSetRow, bundle: Bundle) -> dict[str, object] | None:
    """What changed, for the audit; None for nothing."""
    before = {each.der: each.thumbprint for each in known.anchors if each.role == "anchor"}
    added = [check.describe(der).thumbprint for der in bundle.anchors if der not in before]
    dropped = [mark for der, mark in before.items() if der not in bundle.anchors]
    if not added and not dropped and known.bundle and known.bundle.sequence == bundle.sequence:
        return None
    return {
        "trust_set": known.name,
        "sequence": bundle.sequence,
        "added": added,
        "dropped": dropped,
    }


def _member(der: bytes, now: int) -> TrustAnchorRow:
    facts = check.describe(der)
    return TrustAnchorRow(
        thumbprint=facts.thumbprint,
        der=der,
        role="anchor",
        subject=facts.subject,
        not_after=facts.not_after,
        added_at=now,
    )


def _read_file(path: Path) -> bytes:
    """A regular file within the cap; a pipe or device could hang or never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is not a regular file")
        data = file.read(MAX_BUNDLE + 1)
    if len(data) > MAX_BUNDLE:
        raise ValueError(f"{path} is larger than {MAX_BUNDLE} octets")
    return data


def _tell_outcome(name: str, previous: _Attempt | None, attempt: _Attempt) -> None:
    """One alert per problem, not one a minute."""
    before = previous.problem if previous is not None else None
    if attempt.problem is None:
        if before is not None:
            log().info("bundle.recovered", trust_set=name, source=attempt.source)
    elif attempt.problem != before:
        log().warning(
            "bundle.failed", trust_set=name, source=attempt.source, problem=attempt.problem
        )
