"""What the database tells of this server's health, read at most once in `KEPT` seconds.

Guarantees that asking often costs the server nothing: whoever comes meanwhile gets the copy, one
read at a time runs, on a thread, and reads take a twentieth of the time at most. Where the database does not answer, what was known stays
known, and `Reading.up` says so. Not here: what only this process knows (`app.ops.metrics`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app import clock
from app.admin.expiry import Expiring, InUse
from app.clients.bundles import usable_for
from app.clients.crl_due import lists_of
from app.store import crls, schema, signing_keys, trust
from app.store.crls import CrlRow
from app.store.engine import Database, StoreUnavailable
from app.store.trust import TrustSetRow
from app.telemetry import log

KEPT = 10.0
"""Seconds: scrapers usually come every 15 to 60."""
SHARE = 20
"""A copy is kept so many times longer than its read took: with 5,000 clients and 100,000 certificates
seen, that is a second."""
PATIENCE = 5.0
"""Seconds that one answer waits for the database; scrapers usually give up after 10."""
WITHIN = {"ended": 0, "1d": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""Seconds ahead, by the value of the label `within`: those of the audit's notices."""
MOST_NAMED = 100
"""Certificates that are named one by one, so that a large fleet does not flood whoever stores it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """As of one read."""

    ending: Mapping[str, int]
    """How many certificates in use end, by `WITHIN`; the ended ones are in each."""
    soonest: tuple[Expiring, ...]
    """Those of them that end within 30 days, `MOST_NAMED` at most."""
    first_end: int | None
    """The next time at which a client, or an instance of it, has no certificate; None: none has one."""
    anchors: Mapping[str, int]
    """By trust set the end of its first anchor to end."""
    signing_since: int | None
    """Since when the current signing key signs; None: there is none yet."""
    is_schema_current: bool
    """Whether the database has a schema that this release may use."""
    lists: Mapping[tuple[str, str], int]
    """By trust set and policy (``hard`` or ``soft``), where CRLs are asked: when the first of them
    counts no more; 0 where a CA has none."""
    bundles: Mapping[str, int]
    """By trust set that follows a SPIFFE bundle: when its copy counts no more; 0: never loaded."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known, and whether the database answered just now."""

    up: bool
    figures: Figures | None


class LastFigures:
    """The newest figures. All methods are for the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._figures: Figures | None = None
        self._up = False
        self._due = 0.0
        self._reading: asyncio.Future[None] | None = None

    async def read(self) -> Reading:
        """What is known, read anew where that is due; returns within `PATIENCE`."""
        loop = asyncio.get_running_loop()
        if self._reading is None and loop.time() >= self._due:
            self._reading = asyncio.ensure_future(self._renew())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE)
        overdue = self._reading is not None
        return Reading(self._up and not overdue, self._figures)

    async def close(self) -> None:
        """Wait for a read that is under way: it stands on the database."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._figures = await asyncio.to_thread(partial(figures, self._database, clock.now()))
            self._up = True
        except StoreUnavailable as error:
            self._up = False
            log().warning("metrics.unavailable", cause=repr(error))
        except Exception:  # noqa: BLE001 - whoever watches is told; the server goes on
            self._up = False
            log().exception("metrics.failed")
        finally:
            ended = loop.time()
            self._due = ended + max(KEPT, SHARE * (ended - began))
            self._reading = None


def figures(database: Database, now: int) -> Figures:
    """Read everything in one transaction. Raises `StoreUnavailable`."""
    with database.read() as conn:
        in_use = InUse.at(conn, now)
        ending = {name: in_use.ending(now + seconds) for name, seconds in WITHIN.items()}
        current = [key for key in signing_keys.listed(conn) if key.state == "current"]
        sets = trust.listed(conn)
        known = crls.listed(conn)
        return Figures(
            {name: len(found) for name, found in ending.items()},
            tuple(ending["30d"][:MOST_NAMED]),
            in_use.first_end(),
            {
                row.name: min(ends)
                for row in sets
                if (ends := [each.not_after for each in row.anchors if each.role == "anchor"])
            },
            current[0].activated_at if current else None,
            schema.is_served(conn),
            {
                (row.name, row.revocation.fail): _first_to_end(row, known, now)
                for row in sets
                if row.revocation.mode == "crl"
            },
            {
                row.name: row.bundle.fetched_at + usable_for(row.bundle)
                if row.bundle.fetched_at is not None
                else 0
                for row in sets
                if row.bundle is not None
            },
        )


def _first_to_end(row: TrustSetRow, known: Sequence[CrlRow], now: int) -> int:
    lists = lists_of(row, known, now)
    ends = [one.ends for one in lists.standings if one.of is not None]
    return 0 if lists.without or not ends else min(ends)
