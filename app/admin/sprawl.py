"""Certificates and keys in more hands than one, and certificates that open many doors."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.admin.desk import Desk
from app.store import clients, sprawl
from app.store.sprawl import Shared, Wide

RESOURCES = 10
"""Resources that one certificate may serve before it is named."""


@dataclass(frozen=True, slots=True)
class Sprawl:
    """What an operator should take apart."""

    certificates: Sequence[Shared]
    keys: Sequence[Shared]
    wide: Sequence[Wide]
    tenants: dict[str, str]
    """By client."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is shared and nothing is wide."""
        return not (self.certificates or self.keys or self.wide)

    def tenants_of(self, shared: Shared) -> list[str]:
        """Whose the sharing clients are; more than one is a boundary crossed."""
        return sorted({self.tenants.get(name, "") for name in shared.clients})


def find(desk: Desk, more_than: int = RESOURCES) -> Sprawl:
    """Everything shared, and certificates with tokens for more than so many resources."""
    with desk.db.read() as conn:
        return Sprawl(
            sprawl.shared_certificates(conn),
            sprawl.shared_keys(conn),
            sprawl.wide(conn, more_than),
            {row.client_id: row.tenant for row in clients.listed(conn)},
        )
