"""What a decision may need from elsewhere, and how it is got.

A decision is pure and waits for nobody. Where it needs something that only a fetch can tell, it
raises one of these; nothing is recorded, the door fetches within its own time limit, and the
decision is taken again knowing that the chance was given. Each is asked for once per request and
registry version, so the rounds end.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from app import clock
from app.clients.authentication import AuthenticatedClient, Credentials
from app.clients.methods import tls_client_auth
from app.clients.methods.evidence import Evidence
from app.clients.methods.self_signed_tls_client_auth import is_published
from app.clients.model import Client
from app.clients.registry import Registry
from app.endpoints.door import Door
from app.pki.crl import LoadedCrl
from app.pki.leaf import Leaf
from app.pki.ocsp import OcspAnswer
from app.pki.revocation import RevocationSource

CRL_WAIT = 15.0
"""Seconds a request waits at most for a CRL that was just loaded: a million entries take two on an
idle machine, and every process parses for itself. Then it is refused, `revocation_unknown`."""


class Wanted(Exception, ABC):
    """Something to fetch before the decision is taken again."""

    def __init__(self, key: Hashable) -> None:
        super().__init__(key)
        self.key = key
        """Names it among what was sought for one request."""

    @abstractmethod
    async def fetch(self, door: Door, presented: Credentials) -> None:
        """Give it the chance to be known. Returns in every case but `StoreUnavailable`."""


class KeySetWanted(Wanted):
    """The JWK Set of a client that publishes its certificates itself."""

    def __init__(self, uri: str) -> None:
        super().__init__(("jwks_uri", uri))
        self._uri = uri

    async def fetch(self, door: Door, presented: Credentials) -> None:
        """Read it, if the presented certificate is not in the copy at hand."""
        peer = presented.peer
        if peer is not None:
            await door.remote_keys.ensure(self._uri, lambda keys: is_published(keys, peer))


class StatusWanted(Wanted):
    """Answers of an OCSP responder about the path of the presented certificate."""

    def __init__(self, client: Client, registry: Registry) -> None:
        super().__init__(("ocsp", registry.version))
        self._client = client
        self._registry = registry

    async def fetch(self, door: Door, presented: Credentials) -> None:
        """Ask, unless fresh answers are at hand; due ones are renewed without a wait."""
        if presented.peer is None:
            return
        evidence = Evidence(
            self._client,
            presented.peer,
            self._registry,
            door.remote_keys.keys_for,
            clock.now(),
        )
        if (links := tls_client_auth.links_to_ask(evidence)) is not None:
            await door.ocsp.ensure(*links)


class CrlWanted(Wanted):
    """The CRLs that the registry names for the trust set that vouches."""

    def __init__(self, trust_set: str, registry: Registry) -> None:
        super().__init__(("crl", trust_set, registry.version))
        self._trust_set = trust_set

    async def fetch(self, door: Door, presented: Credentials) -> None:
        """Wait until they are parsed, `CRL_WAIT` at most; other trust sets' requests go on."""
        del presented
        await door.revocation.loaded(self._trust_set, CRL_WAIT)


@dataclass(frozen=True, slots=True)
class RevocationOrWanted:
    """What is known of revocation, where all of it is there: else `CrlWanted`, once."""

    known: RevocationSource
    registry: Registry
    want: Callable[[Wanted], None]

    def crls(self, trust_set: str) -> Sequence[LoadedCrl]:
        """As `known` has them."""
        return self.known.crls(trust_set)

    def loading(self, trust_set: str) -> bool:
        """As `known` says, where that is still so after the wait."""
        if not self.known.loading(trust_set):
            return False
        self.want(CrlWanted(trust_set, self.registry))
        return self.known.loading(trust_set)

    def ocsp(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """As `known` has it."""
        return self.known.ocsp(trust_set, issuer, serial)


class HoldersWanted(Wanted):
    """Who else holds the client's key: the database knows, and decides who was first."""

    def __init__(self, asking: AuthenticatedClient, registry: Registry) -> None:
        super().__init__(("holders", asking.certificate.spki_sha256, registry.version))
        self._asking = asking

    async def fetch(self, door: Door, presented: Credentials) -> None:
        """Enter the client among the holders. Raises `StoreUnavailable`.

        They are known for the registry version found there; the next decision is taken on that or
        a later one, else it would ask for the same again.
        """
        del presented  # the certificate that was trusted decides, and it is in `asking`
        client = self._asking.client
        spki_sha256 = self._asking.certificate.spki_sha256
        found_at = await door.key_holders.claim(spki_sha256, client.client_id, client.tenant)
        if found_at != door.snapshots.current.version:
            await asyncio.to_thread(door.snapshots.refresh)
