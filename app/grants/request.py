"""What a grant may look at."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.clients.authentication import AuthenticatedClient
from app.clients.boundary import BoundaryPolicy
from app.clients.registry import Registry


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that bound every grant."""

    access_token_lifetime: int
    """Seconds."""
    default_resource: str
    boundary: BoundaryPolicy = "tenant"
    status_list_ttl: int = 60
    """Seconds a fetched status list may be used."""


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """An authenticated client's request for a token."""

    client: AuthenticatedClient
    parameters: Mapping[str, tuple[str, ...]]
    registry: Registry
    policy: Policy
    crossings: tuple[str, ...] = ()
    """Boundaries the client crosses by its key alone, to be reported."""
