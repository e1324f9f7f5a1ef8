"""One key, one boundary: who else holds this client's key, and whose resources it asks for.

A key that two clients share proves less than each of them thinks. The client that held it first
keeps it; a later one is refused or only reported, as the setting `boundary_policy` says:

- ``refuse``: no second client, and no resource with another label;
- ``tenant``: the same between tenants only; inside one it is reported (the default);
- ``report``: everything is reported.

Where the credential that a client used has labels of its own, these count, and not the client's.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from app.clients.authentication import AuthenticatedClient
from app.clients.registry import Registry, Resource
from app.errors import Examination, Finding, Reason
from app.store.holders import HolderRow

BoundaryPolicy = Literal["refuse", "tenant", "report"]

LABELS = ("tenant", "resource_class", "risk")
"""What clients and resources carry; an empty label is inside every boundary."""


class Labelled(Protocol):
    """What carries labels."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def resource_class(self) -> str:
        """What for."""

    @property
    def risk(self) -> str:
        """How much harm it could do."""


def guarded(policy: BoundaryPolicy) -> tuple[str, ...]:
    """The labels that a key and a credential may have but one of."""
    return LABELS if policy == "refuse" else ("tenant",)


def contradiction(
    client: Labelled, credential: Labelled, policy: BoundaryPolicy
) -> tuple[str, str] | None:
    """Which of a credential's own labels contradicts its client's, and how; None: none does.

    Its tenant always; under ``refuse`` each of the three. Else a credential may well be for
    something of less risk, say, than its client.
    """
    for label in guarded(policy):
        own, whole = getattr(credential, label), getattr(client, label)
        if own and whole and own != whole:
            return label, f"a certificate of {label} {own} at a client of {label} {whole}"
    return None


def examine_holders(
    exam: Examination,
    registry: Registry,
    asking: AuthenticatedClient,
    holders: Sequence[HolderRow],
    policy: BoundaryPolicy,
) -> list[str]:
    """Note whether the client may hold a key that others hold too; what is only to be reported.

    `holders` are all of the key's, the first first. Those that came after this client, and those
    that are no longer registered, do not count against it. Noted as well: a credential whose labels
    contradict the client's, which a change of the setting may have left behind.
    """
    client, key = asking.client, asking.certificate.spki_sha256
    own_labels = asking.own_labels
    tenant = own_labels.tenant or client.tenant
    reported, violated = [], False
    crosses = contradiction(client, own_labels, policy)
    if crosses is not None and policy == "report":
        reported.append(crosses[1])
    elif crosses is not None:
        exam.note(_violation(crosses[1], "a certificate with the client's own labels, or none"))
        violated = True
    for other in _before(client.client_id, holders):
        if registry.client(other.client_id) is None:
            continue
        theirs = registry.tenants_of_key(other.client_id, key)
        names = " and ".join(_tenant(each) for each in sorted(theirs))
        seen = f"the key is held by client {other.client_id} of {names}"
        if policy == "refuse" or (policy == "tenant" and theirs != {tenant}):
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
    asking: AuthenticatedClient, resource: Resource, policy: BoundaryPolicy
) -> tuple[Finding | None, list[str]]:
    """The finding that refuses `resource` to the client, if any, and what is only to be reported.

    A label of the credential that the client used counts before its own.
    """
    reported = []
    own_labels = asking.own_labels
    for label in LABELS:
        special, other = getattr(own_labels, label), getattr(resource, label)
        own = special or getattr(asking.client, label)
        if not own or not other or own == other:
            continue
        whose = f"a certificate of {label}" if special else label
        seen = f"{whose} {own} asks for {resource.url} of {label} {other}"
        if policy == "refuse" or (policy == "tenant" and label == "tenant"):
            return _violation(seen, f"a resource of {label} {own}"), []
        reported.append(seen)
    return None, reported


def _violation(seen: str, expected: str) -> Finding:
    return Finding(
        "boundary",
        seen,
        expected,
        "Give each client its own key and certificate, and label clients, their certificates and "
        "resources by who they belong to. What is shared: certbound audit sprawl",
        Reason.BOUNDARY_VIOLATION,
    )


def _tenant(name: str) -> str:
    return f"tenant {name}" if name else "no tenant"
