"""Certificates and keys in more hands than one, and certificates that open many doors.

Counts what opens something still: not what was retired or revoked, nor certificates that have ended.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app import clock
from app.admin.desk import Desk
from app.admin.life_cycle import in_force, is_denied
from app.store import clients, credentials, denied, sprawl, uses
from app.store.credentials import CredentialRow
from app.store.denied import Denied
from app.store.engine import Transaction
from app.store.sprawl import Shared, Wide
from app.store.uses import UseRow

RESOURCES = 10
"""Resources that one certificate may serve before it is named."""


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate or key that several clients hold now."""

    digest: str
    """A certificate's thumbprint, a key's `spki_sha256`."""
    clients: tuple[str, ...]
    subjects: tuple[str, ...]
    last_used: int | None
    """By any of them; None: never."""
    certificates: frozenset[str]
    """Thumbprints, as far as known."""


@dataclass(frozen=True, slots=True)
class Sprawl:
    """What an operator should take apart."""

    certificates: Sequence[Held]
    keys: Sequence[Held]
    """Also those of a certificate that is shared."""
    wide: Sequence[Wide]
    tenants: dict[str, str]
    """By client."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is shared and nothing is wide."""
        return not (self.certificates or self.keys or self.wide)

    @property
    def other_keys(self) -> list[Held]:
        """Shared keys that are more than the key of one shared certificate, told already."""
        told = {(each.certificates, each.clients) for each in self.certificates}
        return [each for each in self.keys if (each.certificates, each.clients) not in told]

    def tenants_of(self, shared: Held) -> list[str]:
        """Whose the sharing clients are; more than one is a boundary crossed."""
        return sorted({self.tenants.get(name, "") for name in shared.clients})


def find(desk: Desk, more_than: int = RESOURCES) -> Sprawl:
    """Everything shared, and certificates with tokens for more than so many resources."""
    now = clock.now()
    with desk.db.read() as conn:
        look = _Look(conn, denied.snapshot(conn), now)
        return Sprawl(
            look.certificates(sprawl.shared_certificates(conn)),
            look.keys(sprawl.shared_keys(conn)),
            look.wide(sprawl.wide(conn, more_than)),
            {row.client_id: row.tenant for row in clients.listed(conn)},
        )


@dataclass(frozen=True, slots=True)
class _Look:
    conn: Transaction
    stopped: Denied
    now: int

    def certificates(self, found: Iterable[Shared]) -> list[Held]:
        return self._held(
            (
                one,
                uses.by_thumbprint(self.conn, one.digest),
                credentials.by_thumbprint(self.conn, one.digest),
            )
            for one in found
        )

    def keys(self, found: Iterable[Shared]) -> list[Held]:
        return self._held(
            (one, uses.by_key(self.conn, one.digest), credentials.by_key(self.conn, one.digest))
            for one in found
        )

    def wide(self, found: Iterable[Wide]) -> list[Wide]:
        kept = []
        for one in found:
            used = uses.by_thumbprint(self.conn, one.thumbprint)
            registered = credentials.by_thumbprint(self.conn, one.thumbprint)
            if one.client_id in self._holders(used, registered):
                kept.append(one)
        return kept

    def _held(
        self, found: Iterable[tuple[Shared, Sequence[UseRow], Sequence[CredentialRow]]]
    ) -> list[Held]:
        kept = []
        for one, used, registered in found:
            # Of removed clients nothing is kept; a shared digest names those that are there.
            holders = self._holders(used, registered) & set(one.clients)
            if len(holders) < 2:  # noqa: PLR2004 - one holder shares with nobody
                continue
            subjects = [use.subject for use in used] + [row.subject or "" for row in registered]
            thumbprints = {use.thumbprint for use in used}
            thumbprints |= {row.thumbprint for row in registered if row.thumbprint is not None}
            kept.append(
                Held(
                    one.digest,
                    tuple(sorted(holders)),
                    tuple(dict.fromkeys(filter(None, subjects))),
                    max((use.last_used for use in used), default=None),
                    frozenset(thumbprints),
                )
            )
        return kept

    def _holders(self, used: Sequence[UseRow], registered: Sequence[CredentialRow]) -> set[str]:
        """Clients that one of these opens something for."""
        going = in_force(registered, self.stopped, self.now)
        holders = {
            row.client_id for row in going if row.not_after is None or row.not_after > self.now
        }
        # What a client registered stands for the uses of it too.
        told = {(row.client_id, row.thumbprint) for row in registered}
        keys = {row.client_id for row in registered if row.kind == "key"}
        holders |= {
            use.client_id
            for use in used
            if (use.client_id, use.thumbprint) not in told
            and use.client_id not in keys
            and use.not_after > self.now
            and not is_denied(use, self.stopped)
        }
        return holders
