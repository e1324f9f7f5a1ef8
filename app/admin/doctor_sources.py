"""What the doctor looks at beside the registry: key sets, CRLs, OCSP answers, holders of the key.

Gathered once, by the server's own fetchers and limits, so that the checks themselves wait for
nothing, as at the token endpoint. Where something cannot be had the checks say what is missing.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from app.admin.desk import Desk
from app.clients import deny_list
from app.clients.methods import tls_client_auth
from app.clients.methods.evidence import Evidence
from app.clients.methods.self_signed_tls_client_auth import is_published
from app.clients.model import Client
from app.clients.registry import Registry
from app.jose.document import RemoteDocuments
from app.jose.fetch import Keys, RemoteKeys
from app.pki import check
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import OcspCache
from app.pki.revocation import RevocationSource
from app.store import crls, holders
from app.store.crls import CrlRow
from app.store.holders import HolderRow
from app.store.ocsp import OcspMemory
from app.tls.peer import PeerCertificate

LOADING = 60.0
"""Seconds for CRLs: a million entries take two, and an operator waits for the truth."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the checks may read."""

    remote: RemoteKeys
    revocation: RevocationSource
    holders: Sequence[HolderRow]
    """Of the certificate's key, the first first."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """For whom and for what to look."""

    desk: Desk
    registry: Registry
    crls: Sequence[CrlRow]
    """Every list that the registry names."""
    peer: PeerCertificate
    now: int

    def run(self, client_ids: Iterable[str]) -> Sources:
        """Everything that the checks of these clients would read."""
        found = [self.registry.client(each) for each in client_ids]
        return asyncio.run(self._run([each for each in found if each is not None]))

    async def _run(self, clients: Sequence[Client]) -> Sources:
        settings = self.desk.settings
        remote = RemoteKeys(
            allow_private=settings.jwks_uri_allow_private, ca_file=settings.jwks_uri_ca_file
        )
        documents = RemoteDocuments(
            allow_private=settings.trust_allow_private, ca_file=settings.trust_ca_file
        )
        answers = OcspCache.over(documents, OcspMemory(self.desk.db, writes=False))
        answers.bar(self.registry.version, partial(deny_list.names, self.registry.denied))
        revocation = Revocation(self._crl_der, answers)
        uris = {client.jwks_uri for client in clients if client.jwks_uri is not None}
        await asyncio.gather(
            *(remote.ensure(uri, self._is_published) for uri in sorted(uris)),
            asyncio.to_thread(self._load_crls, revocation, clients),
            self._ask(answers, clients),
        )
        await remote.close()
        await answers.close()
        return Sources(remote, revocation, self._holders())

    def _load_crls(self, revocation: Revocation, clients: Sequence[Client]) -> None:
        """The lists of these clients' trust sets: others may be large."""
        wanted = {name for client in clients for name in client.trust_sets}
        sets = [each for each in self.registry.asked_about("crl") if each.name in wanted]
        revocation.follow(self.registry.version, sets, self.crls)
        revocation.wait(LOADING)
        revocation.close()

    async def _ask(self, answers: OcspCache, clients: Sequence[Client]) -> None:
        if not self.registry.asked_about("ocsp"):
            return
        for client in clients:
            if client.token_endpoint_auth_method != tls_client_auth.NAME:
                continue
            evidence = Evidence(client, self.peer, self.registry, _no_keys, self.now)
            asked = tls_client_auth.links_to_ask(evidence)
            if asked is not None:
                await answers.ensure(*asked)

    def _is_published(self, keys: Keys) -> bool:
        return is_published(keys, self.peer)

    def _crl_der(self, digest: str) -> bytes | None:
        with self.desk.db.read() as conn:
            return crls.crl_der(conn, digest)

    def _holders(self) -> Sequence[HolderRow]:
        with suppress(ValueError), self.desk.db.read() as conn:
            return holders.of_key(conn, check.describe(self.peer.der).spki_sha256)
        return ()


def _no_keys(_uri: str, _now: int) -> None:
    """Key sets play no part in who vouches by path."""
