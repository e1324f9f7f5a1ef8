"""The registry: everything a decision reads, as one immutable snapshot with a version number.

Guarantees: `change` is the only way to change it, raises the version with every change, and
returns only when no journal on any node can commit a decision made on an older version.
Not here: what the rows mean. The server builds its own view of them once per version.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection, update

from app.store import (
    clients,
    credentials,
    crls,
    denied,
    proxies,
    resources,
    schema,
    signing_keys,
    trust,
)
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.crls import CrlRow
from app.store.denied import Denied
from app.store.engine import Database, lock_registry, notify
from app.store.proxies import ProxyRow
from app.store.resources import ResourceRow
from app.store.rows import execute
from app.store.signing_keys import SigningKeyRow
from app.store.tables import registry
from app.store.trust import TrustSetRow

CHANNEL = "certbound_registry"
"""Where PostgreSQL tells of changes. Only for comfort: every decision looks itself."""


@dataclass(frozen=True, slots=True)
class RegistryRows:
    """The whole registry as of one version."""

    version: int
    clients: tuple[ClientRow, ...]
    credentials: tuple[CredentialRow, ...]
    trust_sets: tuple[TrustSetRow, ...]
    resources: tuple[ResourceRow, ...]
    signing_keys: tuple[SigningKeyRow, ...]
    crls: tuple[CrlRow, ...] = ()
    """The lists themselves are read with `crls.crl_der`."""
    denied: Denied = field(default_factory=Denied)
    proxies: tuple[ProxyRow, ...] = ()


def version(conn: Connection) -> int:
    """The version this transaction sees."""
    (row,) = execute(conn, "SELECT version FROM registry")
    return int(row[0])


def load(conn: Connection) -> RegistryRows:
    """Read everything. Consistent inside `Database.read`, or while the registry is locked.

    Raises `StoreUnavailable` where the schema is no longer one that this release may use. Each
    migration raises the version, so no decision is made, or committed, before this was asked.
    """
    schema.require_served(conn)
    return RegistryRows(
        version=version(conn),
        clients=tuple(clients.listed(conn)),
        credentials=tuple(credentials.listed(conn)),
        trust_sets=tuple(trust.listed(conn)),
        resources=tuple(resources.listed(conn)),
        signing_keys=tuple(signing_keys.listed(conn)),
        crls=tuple(crls.listed(conn)),
        denied=denied.snapshot(conn),
        proxies=tuple(proxies.listed(conn)),
    )


@contextmanager
def change(db: Database) -> Iterator[Connection]:
    """A write transaction that may change the registry; its commit orders it against issuance.

    A token's row committed before ours was issued before the change; after our commit every journal
    sees the new version and decides again (promise 3).
    """
    with db.begin() as conn:
        lock_registry(conn, exclusive=True)
        yield conn
        conn.execute(update(registry).values(version=registry.c.version + 1))
        notify(conn, CHANNEL)


def raise_to(conn: Connection, least: int) -> None:
    """Inside `change`: the version it makes is above this one, too."""
    lower = registry.c.version < least
    conn.execute(update(registry).where(lower).values(version=least))


class Versioned(Protocol):
    """What a built registry must tell: the version it was built from."""

    @property
    def version(self) -> int:
        """The version of the rows."""


R = TypeVar("R", bound=Versioned)


class Snapshots(Generic[R]):
    """The newest registry this process knows, built by `build` once per version.

    May be behind: only the journal's check makes a decision final. Any thread may call any method.
    The first load happens here and raises `StoreUnavailable` when the database does not answer.
    """

    def __init__(self, db: Database, build: Callable[[RegistryRows], R]) -> None:
        self._db = db
        self._build = build
        self._publishing = threading.Lock()
        with db.read() as conn:
            self._current = build(load(conn))

    @property
    def current(self) -> R:
        """The newest snapshot known; never changes in place."""
        return self._current

    def refresh(self) -> bool:
        """Load again if the version moved; whether it did."""
        with self._db.read() as conn:
            if version(conn) == self._current.version:
                return False
            rows = load(conn)
        self._publish(self._build(rows))
        return True

    def load_in(self, conn: Connection) -> R:
        """Load inside a transaction that reads one state, and publish the result."""
        fresh = self._build(load(conn))
        self._publish(fresh)
        return fresh

    def _publish(self, fresh: R) -> None:
        # A slow reader must not put back what a journal has replaced meanwhile.
        with self._publishing:
            if fresh.version > self._current.version:
                self._current = fresh
