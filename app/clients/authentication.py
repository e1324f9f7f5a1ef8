"""From a proven certificate to an authenticated client. The one way, for every endpoint."""

from dataclasses import dataclass

from app.clients import deny_list
from app.clients.methods import METHODS
from app.clients.methods.evidence import Evidence, RemoteKeyReader
from app.clients.model import Client, Labels
from app.clients.registry import Registry
from app.clients.standing import Standing
from app.errors import Examination, Finding, Reason, Refused
from app.pki.check import TrustedCertificate, digest
from app.pki.revocation import NO_SOURCE, RevocationSource
from app.tls.peer import PeerCertificate


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """A client that proved itself by its registered method. Made only by `authenticate`.

    Says who asks, never what may be had: grants decide that.
    """

    client: Client
    certificate: TrustedCertificate

    @property
    def own_labels(self) -> Labels:
        """Boundary labels of the very credential it used; an empty one: the client's counts."""
        return self.client.labels_of(self.certificate)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one request presented, unjudged."""

    unverified_client_id: str
    peer: PeerCertificate | None
    peer_error: str | None = None
    """Set where a certificate was presented but could not be taken (too large a chain)."""


def authenticate(
    exam: Examination,
    registry: Registry,
    presented: Credentials,
    remote_keys: RemoteKeyReader,
    now: int,
    *,
    revocation: RevocationSource = NO_SOURCE,
) -> AuthenticatedClient:
    """The client named by `presented`, if its registered method accepts the certificate.

    The registration decides the method; what was presented never does. Who stands as found before,
    on the same snapshot of the registry, is not examined again.

    Raises:
        Refused: for every failure, with one finding each. The wire must not tell them apart.

    """
    peer = presented.peer
    if peer is None:
        return _examined(exam, registry, presented, remote_keys, now, revocation=revocation)
    key = (presented.unverified_client_id, peer.thumbprint, digest(peer.presented))
    standing = registry.standings.get(key)
    if standing is not None and standing.holds(now):
        exam.findings.extend(standing.findings)
        return AuthenticatedClient(standing.client, standing.certificate.proven_again(peer))
    start = len(exam.findings)
    found = _examined(exam, registry, presented, remote_keys, now, revocation=revocation)
    if _lasts(registry, found):
        findings = tuple(exam.findings[start:])
        registry.standings.put(key, Standing(found.client, found.certificate, findings))
    return found


def _lasts(registry: Registry, found: AuthenticatedClient) -> bool:
    """Whether only the registry decided, and dates of certificates.

    No list or answer about revocation, no bundle's age, no keys by URL, no registration's dates.
    """
    trust_set = registry.trust_set(found.certificate.trust_set or "")
    if trust_set is None or trust_set.revocation.mode != "off":
        return False
    rows = [registry.trust_row(name) for name in found.client.trust_sets]
    return all(row is None or row.bundle is None for row in rows)


def _examined(
    exam: Examination,
    registry: Registry,
    presented: Credentials,
    remote_keys: RemoteKeyReader,
    now: int,
    *,
    revocation: RevocationSource,
) -> AuthenticatedClient:
    client = _client(exam, registry, presented.unverified_client_id)
    peer = _peer(exam, client, presented)
    method = METHODS.get(client.token_endpoint_auth_method)
    if method is None:
        raise exam.end(_unknown_method(client))
    exam.note(Finding("method", client.token_endpoint_auth_method))
    trusted = method(exam, Evidence(client, peer, registry, remote_keys, now, revocation))
    deny_list.examine(exam, registry.denied, trusted)
    if exam.first_failure is not None:  # a thorough examination went on past it
        raise Refused(exam.first_failure)
    return AuthenticatedClient(client, trusted)


def _client(exam: Examination, registry: Registry, client_id: str) -> Client:
    client = registry.client(client_id)
    if client is None:
        raise exam.end(
            Finding(
                "client",
                f"client_id {client_id!r}",
                "a registered client",
                # what a stranger sent never enters a command that someone may paste
                "Correct client_id in the request, or register it: certbound client add",
                Reason.CLIENT_UNKNOWN,
            )
        )
    if client.disabled:
        exam.note(
            Finding(
                "client",
                f"{client_id} is disabled",
                "an enabled client",
                f"certbound client enable {client_id}",
                Reason.CLIENT_DISABLED,
            )
        )
    else:
        exam.note(Finding("client", client_id))
    return client


def _peer(exam: Examination, client: Client, presented: Credentials) -> PeerCertificate:
    if presented.peer is not None:
        return presented.peer
    if presented.peer_error is not None:
        raise exam.end(
            Finding(
                "certificate",
                "a certificate chain over the server's limits",
                "at most 10 certificates and 32 KiB",
                "Send the leaf and its intermediates only.",
                Reason.CERTIFICATE_MALFORMED,
            )
        )
    raise exam.end(
        Finding(
            "certificate",
            "no client certificate on this connection",
            f"a certificate for {client.token_endpoint_auth_method}",
            "Configure the client with its certificate and key. Where a proxy or browser stack "
            "hides it, use the mTLS endpoint alias.",
            Reason.NO_CERTIFICATE,
        )
    )


def _unknown_method(client: Client) -> Finding:
    return Finding(
        "method",
        f"registered method {client.token_endpoint_auth_method!r}",
        f"one of {', '.join(METHODS)}",
        f"certbound client remove {client.client_id}, then add it again",
        Reason.METHOD_NOT_ALLOWED,
    )
