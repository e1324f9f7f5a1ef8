"""Plain values for tests of decisions: certificates, clients and a registry without a database."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.registry import Registry
from app.errors import Examination
from app.grants.request import GrantRequest, Policy
from app.jose.jwks import ServerKey, VerificationKeys, server_jwks
from app.jose.jwt import Signer
from app.keys.ring import KeyRing
from app.keys.rotate import make_key
from app.pki import check
from app.pki.names import register
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.registry import RegistryRows
from app.store.resources import ResourceRow
from app.store.trust import TrustAnchorRow, TrustSetRow
from app.tls.peer import PeerCertificate
from tests.kit import ca

NOW = 1_800_000_000
"""When these tests take place; certificates are valid an hour before to thirty days after."""
END = NOW + 30 * 86_400
DEFAULT = "https://api.example"
URI = "spiffe://example/bot"
ROOT = ca.root(ca.name(("CN", "Root")), ca.key(label="decisions root"), NOW)


def peer(name: str = "bot", *, issued: bool = True) -> PeerCertificate:
    """A certificate with this CN and the URI ``spiffe://example/<name>``, of `ROOT` or of itself."""
    return _peer(name, issued)


@cache  # signatures differ each time
def _peer(name: str, issued: bool) -> PeerCertificate:  # noqa: FBT001 - the cache's key
    key = ca.key(label=f"decisions {name}")
    subject = ca.name(("CN", name))
    draft = ca.client_draft(subject, key, NOW, ca.san(uri=(f"spiffe://example/{name}",)))
    der = ROOT.sign(draft) if issued else ca.sign(draft, subject, key)
    return PeerCertificate(der, (), "TLSv1.3", "TLS_AES_128_GCM_SHA256")


@cache
def ring() -> KeyRing:
    """One signing key."""
    key = make_key("ES256")
    document = server_jwks([ServerKey(key.kid, key.algorithm, key.public)])
    signer = Signer(key.kid, key.algorithm, key.private)
    return KeyRing(signer, document, '"etag"', VerificationKeys.parse(document))


def pki_row(client_id: str = "bot", **changes: Any) -> ClientRow:
    """A ``tls_client_auth`` client known by its URI."""
    match = register("san_uri", f"spiffe://example/{client_id}")
    row = ClientRow(
        client_id=client_id,
        auth_method="tls_client_auth",
        created_at=NOW,
        updated_at=NOW,
        subject_attribute=match.attribute,
        subject_value=match.value,
        grants=("client_credentials",),
        scopes=("read", "write"),
        trust_sets=("default",),
    )
    return replace(row, **changes)


def self_signed_row(client_id: str = "solo", **changes: Any) -> ClientRow:
    """A ``self_signed_tls_client_auth`` client."""
    row = ClientRow(
        client_id=client_id,
        auth_method="self_signed_tls_client_auth",
        created_at=NOW,
        updated_at=NOW,
        grants=("client_credentials",),
    )
    return replace(row, **changes)


def credential(of: PeerCertificate, client_id: str = "solo", **changes: Any) -> CredentialRow:
    """The certificate `of`, registered for a client."""
    facts = check.describe(of.der)
    row = CredentialRow(
        client_id=client_id,
        kind="certificate",
        spki_sha256=facts.spki_sha256,
        spki_der=facts.spki_der,
        created_at=NOW,
        thumbprint=facts.thumbprint,
        der=of.der,
    )
    return replace(row, **changes)


def trust_row(name: str = "default", *ders: bytes, role: str = "anchor") -> TrustSetRow:
    """A trust set of these certificates; of `ROOT` where none is given."""
    anchors = tuple(
        TrustAnchorRow(
            thumbprint=str(number),
            der=der,
            role="anchor" if role == "anchor" else "intermediate",
            subject="",
            not_after=END,
            added_at=NOW,
        )
        for number, der in enumerate(ders or (ROOT.certificate,))
    )
    return TrustSetRow(name=name, description="", created_at=NOW, updated_at=NOW, anchors=anchors)


def resource(url: str = DEFAULT, *scopes: str) -> ResourceRow:
    """A registered resource."""
    return ResourceRow(url=url, created_at=NOW, updated_at=NOW, scopes=scopes)


def registry(
    *clients: ClientRow,
    credentials: Iterable[CredentialRow] = (),
    trust: Iterable[TrustSetRow] | None = None,
    resources: Iterable[ResourceRow] | None = None,
) -> Registry:
    """A registry of these rows; by default with `ROOT` trusted and `DEFAULT` registered."""
    rows = RegistryRows(
        version=1,
        clients=clients,
        credentials=tuple(credentials),
        trust_sets=tuple((trust_row(),) if trust is None else trust),
        resources=tuple((resource(DEFAULT, "read", "write"),) if resources is None else resources),
        signing_keys=(),
    )
    return Registry(rows, ring())


def no_remote_keys(_uri: str, _now: int) -> None:
    """Nothing was ever fetched."""


def authenticated(of: Registry, client_id: str = "bot", now: int = NOW) -> AuthenticatedClient:
    """The client, proven by the certificate of its name."""
    presented = Credentials(client_id, peer(client_id))
    return authenticate(Examination(), of, presented, no_remote_keys, now)


def grant_request(of: Registry, client_id: str = "bot", **parameters: str) -> GrantRequest:
    """A request of that client."""
    return GrantRequest(
        client=authenticated(of, client_id),
        parameters={name: (value,) for name, value in parameters.items()},
        registry=of,
        policy=Policy(access_token_lifetime=300, default_resource=DEFAULT),
    )
