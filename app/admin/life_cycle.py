"""Where each certificate of a client stands: registered ones and those it was seen with.

Guarantees nothing that decisions depend on: dates of use are those the journal recorded with the
tokens. A certificate on the deny-list is shown as revoked, whatever its own dates say.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app import clock
from app.admin import clients as admin_clients
from app.admin.denied_known import DenyList
from app.admin.desk import Desk
from app.store import credentials, denied, uses
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow, Phase
from app.store.denied import Denied, issuer_serial
from app.store.uses import DAY, UseRow
from app.tls.peer import PeerCertificate

DAYS = 14
"""Days of use that are shown."""

State = Phase | Literal["learned"]
"""``learned``: not registered, seen in use; its trust set and name decide."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One certificate or key of one client."""

    state: State
    credential: CredentialRow | None
    """As registered; None for one that was only seen."""
    use: UseRow | None
    """None: never used."""
    per_day: Mapping[int, int]
    """Uses by day since the epoch, `DAYS` at most."""
    denied: str
    """How the deny-list stops it, itself or the CA that issued it; empty: it does not."""

    @property
    def digest(self) -> str:
        """Thumbprint, or the key's hash."""
        if self.credential is not None:
            return self.credential.thumbprint or self.credential.spki_sha256
        return self.use.thumbprint if self.use else ""

    @property
    def subject(self) -> str:
        """RFC 4514; empty for a key that was never used."""
        known = self.use or self.credential
        return (known.subject if known else None) or ""

    @property
    def not_after(self) -> int | None:
        """End of the certificate; None for a key."""
        known = self.credential if self.credential is not None else self.use
        return known.not_after if known else None


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """A client's certificates: registered first, then those it was seen with, the last used first."""

    client: ClientRow
    standings: tuple[Standing, ...]

    @property
    def used(self) -> list[UseRow]:
        """What it was seen with, the last used first."""
        found = [one.use for one in self.standings if one.use is not None]
        return sorted(found, key=lambda use: (-use.last_used, -use.first_used))

    @property
    def replaced_at(self) -> int | None:
        """When it was first seen with another certificate than before; None: it never was."""
        first = sorted(use.first_used for use in self.used)
        return first[-1] if len(first) > 1 else None


def life_cycle(desk: Desk, client_id: str) -> LifeCycle:
    """Everything known of a client's certificates.

    Raises:
        Problem: there is no such client.

    """
    now = clock.now()
    row, registered = admin_clients.shown(desk, client_id)
    with desk.db.read() as conn:
        seen = uses.of_client(conn, client_id)
        per_day: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for day in uses.days(conn, client_id, since=now // DAY - DAYS + 1):
            per_day[day.thumbprint][day.day] = day.uses
        stopped = DenyList.read(conn)
    return LifeCycle(row, tuple(_standings(registered, seen, per_day, stopped, now)))


def _standings(
    registered: Sequence[CredentialRow],
    seen: Sequence[UseRow],
    per_day: Mapping[str, Mapping[int, int]],
    stopped: DenyList,
    now: int,
) -> Iterable[Standing]:
    by_thumbprint = {use.thumbprint: use for use in seen}
    for row in registered:
        use = by_thumbprint.pop(row.thumbprint, None) if row.thumbprint else None
        how = stopped.of_row(row)
        state: State = "revoked" if how else row.phase(now)
        yield Standing(state, row, use, per_day.get(row.thumbprint or "", {}), how)
    for use in by_thumbprint.values():
        how = stopped.of_use(use)
        state = "revoked" if is_denied(use, stopped.entries) else "learned"
        yield Standing(state, None, use, per_day.get(use.thumbprint, {}), how)


def phase_of(row: CredentialRow, use: UseRow | None, stopped: Denied, now: int) -> Phase:
    """Where a registered credential stands, the deny-list included."""
    if row.thumbprint in stopped.thumbprints or row.spki_sha256 in stopped.spkis:
        return "revoked"
    if use is not None and is_denied(use, stopped):
        return "revoked"
    return row.phase(now)


def is_denied(use: UseRow, stopped: Denied) -> bool:
    """Whether the deny-list stops this certificate."""
    return (
        use.thumbprint in stopped.thumbprints
        or use.tbs_sha256 in stopped.contents
        or use.spki_sha256 in stopped.spkis
        or issuer_serial(use.issuer, use.serial) in stopped.issuer_serials
    )


def states(
    desk: Desk, client_ids: Iterable[str], peer: PeerCertificate, now: int
) -> dict[str, str]:
    """Where the certificate of `peer` stands with each client that registered or used it, in words."""
    wanted = set(client_ids)
    with desk.db.read() as conn:
        registered = credentials.by_thumbprint(conn, peer.thumbprint)
        seen = {use.client_id: use for use in uses.by_thumbprint(conn, peer.thumbprint)}
        stopped = denied.snapshot(conn)
    found = {}
    for row in registered:
        state = phase_of(row, seen.get(row.client_id), stopped, now)
        kept = "" if row.custody == "unknown" else f", key kept in {row.custody}"
        owner = f", owner {row.owner}" if row.owner else ""
        labels = "".join(
            f", {name.replace('_', ' ')} {text}"
            for name in ("tenant", "risk", "resource_class")
            if (text := getattr(row, name))
        )
        found[row.client_id] = f"{state}{kept}{owner}{labels}, {_used(seen.get(row.client_id))}"
    for client_id, use in seen.items():
        words = "revoked" if is_denied(use, stopped) else "not registered, known by its use"
        found.setdefault(client_id, f"{words}, {_used(use)}")
    return {client_id: text for client_id, text in found.items() if client_id in wanted}


def _used(use: UseRow | None) -> str:
    if use is None:
        return "never used"
    return f"used since {clock.iso(use.first_used)}, last {clock.iso(use.last_used)}"


def in_force(registered: Iterable[CredentialRow], stopped: Denied, now: int) -> list[CredentialRow]:
    """Those that count now or will."""
    going = ("staged", "active", "retiring")
    return [row for row in registered if phase_of(row, None, stopped, now) in going]
