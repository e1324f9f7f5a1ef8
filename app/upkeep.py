"""What a server does beside answering: follow the registry, rotate, sign off, fetch, forget, warn.

Every kind of work runs on its own clock and fails alone: a failure is logged and tried again.
None of it decides anything. A decision that meets material too old fails closed by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from app import clock
from app.admin import seen
from app.admin.cascade import revoke_listed
from app.audit import CertificateEvidence, CertificateExpiring, CrlReplaced
from app.clients import crl_due
from app.clients.bundles import LOOK_INTERVAL, Bundles
from app.config import Settings
from app.endpoints.door import Door
from app.keys import rotate
from app.keys.seal import SealingKey
from app.keys.sign_off import SignOff, TrailAltered
from app.pki.anchors import TrustSet
from app.pki.crl import LoadedCrl
from app.pki.crl_fetch import CrlFetcher
from app.store import (
    audit,
    crls,
    holders,
    notices,
    patience,
    schema,
    status_lists,
    tokens,
    trust,
    uses,
)
from app.store.crls import CrlRow
from app.store.engine import Database, StoreUnavailable
from app.store.registry import change
from app.store.tokens import KEPT_AFTER
from app.telemetry import log

REFRESH_INTERVAL = 1.0
"""Seconds between looks at the registry version. Only comfort: every decision checks it anyway."""
MARK_INTERVAL = 2.0
"""Seconds between looks at how far the database has come."""
FETCH_INTERVAL = 5.0
"""Seconds between looks at which CRL is due."""
COUNT_INTERVAL = 5.0
"""Seconds between looks at which refusals in masses are over, so that their number is recorded."""
UPKEEP_INTERVAL = 60.0
"""Seconds between looks at key rotation, expired rows and certificates that end."""
PURGE_BATCH = 1000
"""Rows per transaction: some 10 ms of the one write lock SQLite has."""
USES_KEPT = 90 * 86_400
"""Seconds that a certificate's last use is remembered: a quarter, as long as a certificate."""
NOTICE_BEFORE = (30 * 86_400, 7 * 86_400, 86_400)
"""Seconds before a certificate ends at which the audit says so, once each."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The background work of one process, on its event loop."""

    door: Door
    database: Database
    settings: Settings
    sealing_key: SealingKey
    bundles: Bundles
    crl_fetcher: CrlFetcher
    sign_off: SignOff
    told: set[tuple[str, ...]] = field(default_factory=set)
    """What the log was told of CRLs, so that it is told once."""

    def works(self) -> list[Awaitable[None]]:
        """One endless coroutine per kind of work; cancel them to stop."""
        return [
            _every(REFRESH_INTERVAL, "registry refresh", self._refresh),
            _every(UPKEEP_INTERVAL, "upkeep", partial(asyncio.to_thread, self._round)),
            _every(FETCH_INTERVAL, "CRL fetch", self._fetch_crls),
            _every(COUNT_INTERVAL, "counting", self._record_counts),
            _every(LOOK_INTERVAL, "bundle refresh", self.bundles.refresh_once),
            _every(MARK_INTERVAL, "mark", partial(asyncio.to_thread, self._mark)),
        ]

    async def close(self) -> None:
        """Record what was only counted, and end what is being fetched."""
        try:
            await self.door.refusals.record(self.door.journal, all_of_them=True)
            await self.door.sightings.record(self.door.journal, all_of_them=True)
        except StoreUnavailable as error:
            log().error("audit.uncounted", cause=str(error))
        self.door.revocation.close()
        await self.bundles.close()
        await self.crl_fetcher.close()
        await self.door.ocsp.close()

    async def _refresh(self) -> None:
        """Follow the registry, so that metadata and key set show changes within about a second.

        A look that the database does not answer is left to its thread, and no other begins.
        """
        looking = asyncio.ensure_future(asyncio.to_thread(self.door.snapshots.refresh))
        while not (await asyncio.wait({looking}, timeout=patience.LIMIT))[0]:
            self._heard(answers=False, cause="no answer in time")
        try:
            looking.result()
        except StoreUnavailable as error:
            self._heard(answers=False, cause=repr(error))
        else:
            self._heard(answers=True)

    def _heard(self, *, answers: bool, cause: str = "") -> None:
        """Be ready or not; the log hears of each change, not of each look."""
        before, self.door.lifecycle.store_answers = self.door.lifecycle.store_answers, answers
        if before and not answers:
            log().warning("store.unavailable", during="registry refresh", cause=cause)
        elif answers and not before:
            log().info("store.answers")

    async def _fetch_crls(self) -> None:
        await self.crl_fetcher.round(self.door.snapshots.current.asked_about("crl"))

    async def _record_counts(self) -> None:
        await self.door.refusals.record(self.door.journal)
        await self.door.sightings.record(self.door.journal)

    def sign_off_last(self) -> None:
        """Sign what was recorded last; for the end, when the journal has written all it had."""
        try:
            self.sign_off.write(clock.now())
        except (TrailAltered, StoreUnavailable) as error:
            log().error("audit.unsigned", cause=str(error))

    def _sign_off(self) -> None:
        """Sign the audit; whatever is wrong with it stops nothing else."""
        try:
            self.sign_off.due(clock.now())
        except TrailAltered as error:
            log().error("audit.altered", cause=str(error), do_this="certbound audit verify")
        except StoreUnavailable as error:
            log().warning("store.unavailable", during="sign-off", cause=repr(error))
        except Exception as error:  # noqa: BLE001 - keys rotate and rows expire all the same
            log().exception("upkeep.failed", during="sign-off", exc_info=error)

    def _mark(self) -> None:
        """Write down how far the database has come, so that no older copy takes its place unseen."""
        seen.keep(self.settings.home, self.database)

    def _round(self) -> None:
        with self.database.read() as conn:
            schema.require_served(conn)
        # First: the key that signed the checkpoint before may be forgotten further down.
        self._sign_off()
        now = clock.now()
        rotate.upkeep(
            self.database,
            self.sealing_key,
            self.settings.signing_algorithm,
            now,
            lifetime=self.settings.key_lifetime,
            token_lifetime=self.settings.access_token_lifetime,
            actor="server",
        )
        purge(self.database, now)
        _warn(self.database, now)
        tell_of_lists(self.database, now, self.told)


def purge(database: Database, now: int) -> None:
    """Delete what nobody may ask for any more, in short transactions that others fit between."""
    while True:
        with database.begin() as transaction:
            gone = tokens.purge_expired(transaction, now - KEPT_AFTER, batch=PURGE_BATCH)
        if gone < PURGE_BATCH:
            break
    with database.begin() as transaction:
        status_lists.purge(transaction, now)
    while True:
        with database.begin() as transaction:
            gone = uses.forget(transaction, now - USES_KEPT, batch=PURGE_BATCH)
        if gone < PURGE_BATCH:
            break
    _forget_holders(database, now - USES_KEPT)


def _forget_holders(database: Database, before: int) -> None:
    """Forget the holders of keys long out of use, a whole batch at a time.

    Each batch is a new registry version, which every process loads: too dear for a row or two.
    """
    while True:
        with database.read() as conn:
            waiting = holders.unused(conn, before, batch=PURGE_BATCH)
        if len(waiting) < PURGE_BATCH:
            break
        with change(database) as conn:
            holders.forget(conn, before, batch=PURGE_BATCH)


def _warn(database: Database, now: int) -> None:
    """Write into the audit which certificates in use end soon, once per certificate and threshold."""
    with database.read() as conn:
        ending = uses.expiring(conn, now + max(NOTICE_BEFORE))
    for use in ending:
        threshold = min(t for t in NOTICE_BEFORE if use.not_after - now <= t)
        with database.begin() as conn:
            if not notices.first(conn, use.client_id, use.thumbprint, threshold, now):
                continue
            audit.append_admin(
                conn,
                CertificateExpiring(
                    actor="server",
                    client_id=use.client_id,
                    certificate=CertificateEvidence(
                        thumbprint=use.thumbprint,
                        subject=use.subject,
                        issuer=use.issuer,
                        serial=use.serial,
                        not_after=use.not_after,
                        trust_set=use.trust_set,
                    ),
                    details={"within_seconds": threshold},
                ),
            )
        log().warning(
            "certificate.expiring",
            client_id=use.client_id,
            thumbprint=use.thumbprint,
            ends=clock.iso(use.not_after),
        )


def tell_of_lists(database: Database, now: int, told: set[tuple[str, ...]]) -> None:
    """Tell the log of CRLs that ran out or soon will, and of CAs that have none; `told`: once each."""
    with database.read() as conn:
        rows, loaded = trust.listed(conn), crls.listed(conn)
    found: set[tuple[str, ...]] = set()
    for row in (each for each in rows if each.revocation.mode == "crl"):
        lists = crl_due.lists_of(row, loaded, now)
        found |= {(row.name, subject, "none", "") for subject in lists.without}
        found |= {(row.name, each.of or "", each.state, clock.iso(each.ends)) for each in lists.due}
    for trust_set, ca, state, ends in sorted(found - told):
        log().warning("crl.due", trust_set=trust_set, ca=ca, state=state, ends=ends)
    told.clear()
    told.update(found)


def deliver(database: Database, trust_set: TrustSet, crl: LoadedCrl, der: bytes) -> bool:
    """Store a fetched list for every process; False when a newer one is there."""
    row = CrlRow(
        trust_set=trust_set.name,
        issuer_key=crl.issuer_key,
        digest=crl.digest,
        number=str(crl.number),
        this_update=crl.this_update,
        next_update=crl.next_update,
        loaded_at=clock.now(),
        entries=crl.entries.count,
        partition=crl.partition,
    )
    details: dict[str, object] = {
        "trust_set": row.trust_set,
        "number": row.number,
        "partition": row.partition,
        "entries": row.entries,
        "sha256": row.digest,
    }
    with database.read() as conn:
        if any(_is_same(each, row) for each in crls.listed(conn)):
            return True  # another process was first; nothing changes, so nothing is recorded
    with change(database) as conn:
        if not crls.replace_crl(conn, row, der):
            return False
        audit.append_admin(conn, CrlReplaced(actor="server", details=details))
        revoke_listed(conn, "server", [crl], row.loaded_at, CrlReplaced.name)
    return True


def _is_same(stored: CrlRow, row: CrlRow) -> bool:
    """Whether this very list is there already, for this very set: two sets may hold one CA."""
    names = ("trust_set", "issuer_key", "partition", "digest")
    return all(getattr(stored, name) == getattr(row, name) for name in names)


async def _every(seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` again and again; what fails once is logged and tried again, never fatal."""
    while True:
        try:
            await work()
        except StoreUnavailable as error:
            log().warning("store.unavailable", during=name, cause=repr(error))
        except Exception as error:  # noqa: BLE001 - upkeep must outlive one bad round
            log().exception("upkeep.failed", during=name, exc_info=error)
        await asyncio.sleep(seconds)
