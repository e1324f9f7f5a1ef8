"""One key, one boundary, asked when a key is registered; the endpoint asks again at each use.

Guarantees that a registration which the endpoint would refuse as a boundary violation is refused
where it is asked for. The caller claims the key and registers it in one transaction.
"""

from collections.abc import Sequence

from app.admin.problem import Problem
from app.clients.boundary import BoundaryPolicy
from app.store.clients import ClientRow
from app.store.holders import HolderRow


def judge(
    client: ClientRow,
    holders: Sequence[HolderRow],
    policy: BoundaryPolicy,
    *,
    later_too: bool = False,
) -> tuple[str, ...]:
    """The clients that share a key with `client`, which is among its `holders`, and were first.

    `later_too`: those that came after it as well, whom a change of its tenant would stop.

    Raises:
        Problem: one of them stands in the way, as `policy` says.

    """
    own = next(row for row in holders if row.client_id == client.client_id)
    # No two claims of one key have the same time (`holders.claim`), within one second neither.
    others = [
        row
        for row in holders
        if row.client_id != client.client_id and (later_too or row.first_seen < own.first_seen)
    ]
    for other in others:
        if policy == "refuse" or (policy == "tenant" and other.tenant != client.tenant):
            raise Problem(
                f"the client {other.client_id} holds this key (boundary_violation)",
                seen=f"{client.client_id} of {tenant_text(client.tenant)} and {other.client_id} of "
                f"{tenant_text(other.tenant)}",
                expected="a key of this client's own",
                action="Give each client its own key and certificate. The setting boundary_policy "
                "says what is refused and what is only reported.",
            )
    return tuple(row.client_id for row in others)


def tenant_text(name: str) -> str:
    """A tenant for people."""
    return f"tenant {name}" if name else "no tenant"
