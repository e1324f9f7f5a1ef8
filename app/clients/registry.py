"""Everything a decision reads, as of one registry version."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.clients import deny_list
from app.clients.labels import tenants_of_key
from app.clients.model import Client, from_rows
from app.keys.ring import KeyRing
from app.pki import check
from app.pki.anchors import TrustSet
from app.pki.permitted import Permitted
from app.pki.revocation_policy import Mode, RevocationPolicy
from app.pki.verdicts import Verdicts
from app.store.denied import Denied
from app.store.registry import RegistryRows
from app.store.trust import TrustSetRow

if TYPE_CHECKING:
    from app.clients.standing import Standing

_REMEMBERED = 4096
"""Standings, of some 300 octets: what is large in them is kept by `app.pki.check` anyway."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A registered protected resource (RFC 8707): a URL tokens may be issued for."""

    url: str
    scopes: tuple[str, ...]
    tenant: str = ""
    resource_class: str = ""
    risk: str = ""
    """Boundary labels; empty: inside every boundary (see `app.clients.boundary`)."""
    require: Literal["mtls", "any"] = "mtls"
    """``mtls``: its tokens must be bound to a certificate."""
    max_lifetime: int | None = None
    """Seconds a token for it lives at most; None: the server's setting."""
    trust_sets: tuple[str, ...] = ()
    """Which sets must vouch for the certificate; empty: any, registered ones too."""
    direct_only: bool = False
    """Whether TLS of the client must end at the server itself, behind no proxy."""


class Registry:
    """An immutable snapshot. Clients and trust sets are parsed when first asked for.

    Two threads (the event loop's and the journal's) may read one snapshot; parsing twice is
    harmless because the results are equal values.
    """

    def __init__(self, rows: RegistryRows, keys: KeyRing) -> None:
        self.version = rows.version
        self.keys = keys
        self.denied = rows.denied
        self.resources = {
            r.url: Resource(
                url=r.url,
                scopes=tuple(r.scopes),
                tenant=r.tenant,
                resource_class=r.resource_class,
                risk=r.risk,
                require=r.require,
                max_lifetime=r.max_lifetime,
                trust_sets=tuple(r.trust_sets),
                direct_only=r.termination == "direct",
            )
            for r in rows.resources
        }
        self.proxies = {row.thumbprint: row for row in rows.proxies}
        """Proxies that are believed, by the thumbprint of their certificate."""
        self._client_rows = {row.client_id: row for row in rows.clients}
        self._credential_rows = defaultdict(list)
        for credential in rows.credentials:
            self._credential_rows[credential.client_id].append(credential)
        self._trust_rows = {row.name: row for row in rows.trust_sets}
        self.asks_ocsp = any(row.revocation.mode == "ocsp" for row in rows.trust_sets)
        """Whether any trust set's policy is OCSP; every token request looks at it."""
        self.standings: Verdicts[Hashable, Standing] = Verdicts(_REMEMBERED)
        """Of `app.clients.authentication`, as of this version."""
        self._clients: dict[str, Client] = {}
        self._trust_sets: dict[str, TrustSet] = {}

    def client(self, client_id: str) -> Client | None:
        """The client registered as `client_id`, disabled ones included."""
        found = self._clients.get(client_id)
        if found is None and (row := self._client_rows.get(client_id)) is not None:
            found = from_rows(row, self._credential_rows.get(client_id, ()))
            self._clients[client_id] = found
        return found

    def tenants_of_key(self, client_id: str, spki_sha256: str) -> frozenset[str]:
        """In whose name the client holds a key: its credentials' tenants, else its own."""
        tenant = self._client_rows[client_id].tenant
        credentials = self._credential_rows.get(client_id, ())
        return tenants_of_key(client_id, tenant, credentials, spki_sha256)

    def client_ids(self) -> list[str]:
        """Every registered client's identifier, sorted."""
        return sorted(self._client_rows)

    def trust_set(self, name: str) -> TrustSet | None:
        """The trust set called `name`, or None; never an empty one.

        Raises:
            ValueError: a stored anchor or bound cannot be parsed; the set must not be used then.

        """
        found = self._trust_sets.get(name)
        if found is None and (row := self._trust_rows.get(name)) is not None:
            anchors = tuple(a.der for a in row.anchors if a.role == "anchor")
            others = tuple(
                a.der
                for a in row.anchors
                if a.role == "intermediate" and not self._is_denied_signer(a.der)
            )
            if anchors:
                found = TrustSet(
                    name,
                    anchors,
                    others,
                    permitted=Permitted.from_json(row.permitted),
                    trust_domain=row.trust_domain,
                    revocation=RevocationPolicy(
                        row.revocation.mode,
                        row.revocation.fail,
                        row.revocation.max_staleness,
                        tuple(row.revocation.urls),
                    ),
                )
                self._trust_sets[name] = found
        return found

    def _is_denied_signer(self, der: bytes) -> bool:
        """Whether this is a signer of CRLs, and no CA, that is denied: its lists count no more.

        A denied CA stays, so that what is below it is refused for what it is.
        """
        if self.denied == Denied():
            return False
        facts = check.describe(der)
        return not facts.is_ca and deny_list.names(self.denied, facts)

    def asked_about(self, mode: Mode) -> list[TrustSet]:
        """The usable trust sets whose revocation policy has this mode."""
        found = []
        for row in self._trust_rows.values():
            if row.revocation.mode == mode:
                with suppress(ValueError):  # told where a client of the set is refused
                    if (trust_set := self.trust_set(row.name)) is not None:
                        found.append(trust_set)
        return found

    def trust_row(self, name: str) -> TrustSetRow | None:
        """The trust set called `name` as stored, a set without anchors included."""
        return self._trust_rows.get(name)

    def bundle_rows(self) -> Sequence[TrustSetRow]:
        """The trust sets whose anchors come from a SPIFFE bundle."""
        return [row for row in self._trust_rows.values() if row.bundle is not None]

    def has_anchors(self) -> bool:
        """Whether any trust set could vouch for a client at all."""
        return any(a.role == "anchor" for row in self._trust_rows.values() for a in row.anchors)
