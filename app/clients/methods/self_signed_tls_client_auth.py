"""``self_signed_tls_client_auth``: a certificate or key registered beforehand (RFC 8705 section 2.2)."""

from collections.abc import Iterable

from app.clients.methods.evidence import Evidence
from app.clients.model import remote
from app.errors import Examination, Finding, Reason
from app.jose.jwks import ClientKey
from app.pki import check
from app.pki.check import Registered, TrustedCertificate
from app.tls.peer import PeerCertificate, thumbprint

NAME = "self_signed_tls_client_auth"


def authenticate(exam: Examination, evidence: Evidence) -> TrustedCertificate:
    """The presented certificate, when it or its key is registered for the client and in date.

    No certificate authority is asked, and a registered certificate never vouches for another.

    Raises:
        Refused: nothing usable is registered, nothing matches, or the match is out of date.

    """
    return check.by_registration(exam, evidence.peer, _registered(exam, evidence), evidence.now)


def _registered(exam: Examination, evidence: Evidence) -> tuple[Registered, ...]:
    client = evidence.client
    if client.jwks_uri is None:
        return client.registered
    keys = evidence.remote_keys(client.jwks_uri, evidence.now)
    if keys is None:
        raise exam.end(
            Finding(
                "registered keys",
                f"no usable copy of {client.jwks_uri}",
                "a JWK Set fetched within the last 24 hours",
                "Make the URL reachable from this server; the log says why the last fetch failed.",
                Reason.THUMBPRINT_UNREGISTERED,
            )
        )
    fetched = (
        remote(key, thumbprint(key.certificate_der) if key.certificate_der else None)
        for key in keys
    )
    return (*client.registered, *fetched)


def is_published(keys: Iterable[ClientKey], peer: PeerCertificate) -> bool:
    """Whether `keys` name the peer's certificate or key. Judges nothing else: no dates, no policy."""
    try:
        spki_sha256 = check.describe(peer.der).spki_sha256
    except ValueError:
        return False
    return any(
        thumbprint(key.certificate_der) == peer.thumbprint
        if key.certificate_der
        else key.spki_sha256 == spki_sha256
        for key in keys
    )
