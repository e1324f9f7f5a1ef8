"""What a client authentication method may look at."""

from collections.abc import Callable
from dataclasses import dataclass

from app.clients.model import Client
from app.clients.registry import Registry
from app.jose.jwks import ClientKey
from app.pki.revocation import NO_SOURCE, RevocationSource
from app.tls.peer import PeerCertificate

RemoteKeyReader = Callable[[str, int], tuple[ClientKey, ...] | None]
"""``(jwks_uri, now)`` to the keys held in memory, None where there is no usable copy."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One client, the certificate on its connection, and the registry they are judged by."""

    client: Client
    peer: PeerCertificate
    registry: Registry
    remote_keys: RemoteKeyReader
    now: int
    revocation: RevocationSource = NO_SOURCE
    """What is known of revocation; nothing by default, so a policy that is on refuses."""
