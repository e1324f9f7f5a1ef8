"""A registered client, as decisions read it (metadata names of RFC 7591 and RFC 8705 section 2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.jose.jwks import ClientKey
from app.pki.check import Registered, TrustedCertificate
from app.pki.names import SubjectMatch
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow


@dataclass(frozen=True, slots=True)
class Labels:
    """Boundary labels; an empty one is inside every boundary (see `app.clients.boundary`)."""

    tenant: str = ""
    resource_class: str = ""
    risk: str = ""


NO_LABELS = Labels()


@dataclass(frozen=True, slots=True)
class Client:
    """One client. Immutable: a change makes a new one in the next registry version."""

    client_id: str
    token_endpoint_auth_method: str
    subject: SubjectMatch | None
    """For ``tls_client_auth``: the one subject attribute its certificate must carry."""
    registered: tuple[Registered, ...]
    """For ``self_signed_tls_client_auth``: its certificates and keys."""
    jwks_uri: str | None
    trust_sets: tuple[str, ...]
    """For ``tls_client_auth``: names of the trust sets that may vouch for it."""
    grant_types: tuple[str, ...]
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    """Empty: only the server's default resource."""
    disabled: bool
    tenant: str = ""
    resource_class: str = ""
    risk: str = ""
    """Boundary labels; empty: inside every boundary (see `app.clients.boundary`)."""
    spiffe_id: str | None = None
    """For ``tls_client_auth``: the SPIFFE ID of its SVIDs, or a path and ``/*``; None: any name."""
    sees_all: bool = False
    """Whether it may look at every token (RFC 7662), not only at its own and its resources'."""
    serves: tuple[str, ...] = ()
    """The resources it is the server of: it may look at the tokens issued for them."""
    own_labels: Mapping[str, Labels] = field(default_factory=dict, hash=False)
    """Of credentials with labels of their own, by thumbprint, a key by its ``spki_sha256``."""

    def labels_of(self, certificate: TrustedCertificate) -> Labels:
        """The labels of the credential that vouched for `certificate`; empty: the client's."""
        if certificate.basis == "path" or not self.own_labels:
            return NO_LABELS
        by_key = certificate.basis == "registered_key"
        digest = certificate.spki_sha256 if by_key else certificate.facts.thumbprint
        return self.own_labels.get(digest, NO_LABELS)


def from_rows(row: ClientRow, credentials: Iterable[CredentialRow]) -> Client:
    """The client a row and its credentials describe."""
    subject, credentials = None, tuple(credentials)
    if row.subject_attribute is not None and row.subject_value is not None:
        subject = SubjectMatch(row.subject_attribute, row.subject_value)
    return Client(
        client_id=row.client_id,
        token_endpoint_auth_method=row.auth_method,
        subject=subject,
        registered=tuple(_registered(c) for c in credentials),
        jwks_uri=row.jwks_uri,
        trust_sets=tuple(row.trust_sets),
        grant_types=tuple(row.grants),
        scopes=tuple(row.scopes),
        resources=tuple(row.resources),
        disabled=row.disabled_at is not None,
        tenant=row.tenant,
        resource_class=row.resource_class,
        risk=row.risk,
        spiffe_id=row.spiffe_id,
        sees_all=row.introspection == "all",
        serves=tuple(row.serves),
        own_labels={
            one.thumbprint or one.spki_sha256: labels
            for one in credentials
            if (labels := Labels(one.tenant, one.resource_class, one.risk)) != NO_LABELS
        },
    )


def _registered(row: CredentialRow) -> Registered:
    return Registered(
        kind=row.kind,
        thumbprint=row.thumbprint,
        spki_sha256=row.spki_sha256,
        spki_der=row.spki_der,
        state="active" if row.state == "active" else "retired",
        activate_at=row.activate_at or 0,
        retired_at=row.retire_at if row.retired_at is None else row.retired_at,
    )


def remote(key: ClientKey, thumbprint: str | None) -> Registered:
    """A key of the client's ``jwks_uri`` as a credential: active for as long as it is published."""
    return Registered(
        kind="certificate" if thumbprint else "key",
        thumbprint=thumbprint,
        spki_sha256=key.spki_sha256,
        spki_der=key.spki_der,
        state="active",
    )
