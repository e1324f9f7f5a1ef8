"""One key, one boundary: who else holds this client's key, and whose resources it asks for.

A key that two clients share proves less than each of them thinks. The client that held it first
keeps it; a later one is refused or only reported, as the setting `boundary_policy` says:

- ``refuse``: no second client, and no resource with another label;
- ``tenant``: the same between tenants only; inside one it is reported (the default);
- ``report``: everything is reported.
"""

from collections.abc import Sequence
from typing import Literal

from app.clients.model import Client
from app.clients.registry import Registry, Resource
from app.errors import Examination, Finding, Reason
from app.store.holders import HolderRow

BoundaryPolicy = Literal["refuse", "tenant", "report"]

LABELS = ("tenant", "resource_class", "risk")
"""What clients and resources carry; an empty label is inside every boundary."""


def examine_holders(
    exam: Examination,
    registry: Registry,
    client: Client,
    holders: Sequence[HolderRow],
    policy: BoundaryPolicy,
) -> list[str]:
    """Note whether `client` may hold a key that others hold too; what is only to be reported.

    `holders` are all of the key's, the first first. Those that came after this client, and those
    that are no longer registered, do not count against it.
    """
    reported, violated = [], False
    for other in _before(client.client_id, holders):
        sharing = registry.client(other.client_id)
        if sharing is None:
            continue
        seen = f"the key is held by client {sharing.client_id} of {_tenant(sharing.tenant)}"
        if policy == "refuse" or (policy == "tenant" and sharing.tenant != client.tenant):
            exam.note(_violation(seen, "a key of this client's own"))
            violated = True
        else:
            reported.append(seen)
    if not violated:
        exam.note(Finding("boundary", "; ".join(reported) or "no earlier client holds this key"))
    return reported


def _before(client_id: str, holders: Sequence[HolderRow]) -> list[HolderRow]:
    found = []
    for holder in holders:
        if holder.client_id == client_id:
            break
        found.append(holder)
    return found


def examine_resource(
    client: Client, resource: Resource, policy: BoundaryPolicy
) -> tuple[Finding | None, list[str]]:
    """The finding that refuses `resource` to `client`, if any, and what is only to be reported."""
    reported = []
    for label in LABELS:
        own, other = getattr(client, label), getattr(resource, label)
        if not own or not other or own == other:
            continue
        seen = f"{label} {own} asks for {resource.url} of {label} {other}"
        if policy == "refuse" or (policy == "tenant" and label == "tenant"):
            return _violation(seen, f"a resource of {label} {own}"), []
        reported.append(seen)
    return None, reported


def _violation(seen: str, expected: str) -> Finding:
    return Finding(
        "boundary",
        seen,
        expected,
        "Give each client its own key and certificate, and label clients and resources by who "
        "they belong to. What is shared: certbound audit sprawl",
        Reason.BOUNDARY_VIOLATION,
    )


def _tenant(name: str) -> str:
    return f"tenant {name}" if name else "no tenant"
