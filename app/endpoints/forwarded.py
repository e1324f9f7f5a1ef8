"""A proxy that asks, and the certificate that it saw on its client's connection.

Guarantees that the word of a proxy counts only where it proved itself with the very certificate it
is registered with, in date and not denied; and that its request holds one certificate at most, in
the one header it is registered for. Any other header that some software would take for a
certificate is refused, not ignored: it came from the client, or from a proxy that was set up wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from starlette.requests import Request

from app.binding.client_cert_header import CHAIN, FORMS, require_bounded
from app.binding.header_names import tells_certificate
from app.clients.deny_list import entry
from app.clients.registry import Registry
from app.errors import Finding, InvalidClient, InvalidRequest, Reason, Refused
from app.pki import check
from app.pki.check import CertificateFacts
from app.store.proxies import ProxyRow
from app.tls.peer import PeerCertificate

CertificateHeaders = Mapping[bytes, Sequence[bytes]]
"""By name in lower case, every value as it came."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of this connection, and what it says of certificates. Unjudged."""

    certificate: PeerCertificate | None
    is_malformed: bool
    """It sent a certificate that was not taken."""
    headers: CertificateHeaders


def peer_of(request: Request) -> Peer:
    """What the connection and the request's headers say."""
    state = request.scope["state"]
    found: dict[bytes, list[bytes]] = {}
    for raw, value in request.scope["headers"]:
        name = raw.lower()
        if tells_certificate(name):
            found.setdefault(name, []).append(value)
    return Peer(state["certbound.peer"], state.get("certbound.peer_error") is not None, found)


def proxy_in(registry: Registry, peer: Peer, now: int) -> ProxyRow:
    """The registered proxy that asks.

    Raises:
        InvalidRequest: somebody else, with a certificate header (``header_untrusted_peer``).
        InvalidClient: somebody else, or one whose certificate is denied or out of date.

    """
    certificate = peer.certificate
    row = None if certificate is None else registry.proxies.get(certificate.thumbprint)
    if certificate is None or row is None:
        _refuse_stranger(peer)
    facts = _facts(certificate.der)
    if not facts.not_before <= now < facts.not_after:
        ended = facts.not_after <= now
        raise _unproven(
            f"a certificate that {'has ended' if ended else 'is not valid yet'}",
            "Renew the proxy's certificate and register it: certbound proxy add",
            Reason.EXPIRED if ended else Reason.NOT_YET_VALID,
        )
    if (denied := entry(registry.denied, facts)) is not None:
        raise _unproven(
            f"denied by {denied}",
            "Give the proxy another certificate and register it: certbound proxy add",
            Reason.REVOKED,
        )
    return row


def certificate_of(proxy: ProxyRow, headers: CertificateHeaders) -> bytes | None:
    """The DER certificate of the proxy's client; None: it has none.

    Raises:
        InvalidRequest: not one certificate in the one header that this proxy writes.

    """
    name, decode = FORMS[proxy.header]
    allowed = {name, CHAIN} if proxy.header == "rfc9440" else {name}
    if others := headers.keys() - allowed:
        reason = Reason.HEADER_DUPLICATE if name in headers else Reason.HEADER_MALFORMED
        listed = ", ".join(sorted(each.decode("latin-1") for each in others))
        raise InvalidRequest(
            Finding(
                "certificate header",
                f"{listed} from proxy {proxy.name}",
                f"{name.decode()} and no other",
                "Let the proxy remove every certificate header that its client sent.",
                reason,
            )
        )
    try:
        require_bounded(headers.get(CHAIN, ()))
        return decode(headers.get(name, ()))
    except Refused as refused:
        raise InvalidRequest(refused.finding) from refused


@lru_cache(maxsize=64)
def _facts(der: bytes) -> CertificateFacts:
    """Of a registered proxy's certificate, which could be read when it was registered."""
    return check.describe(der)


def _refuse_stranger(peer: Peer) -> NoReturn:
    seen = "no certificate"
    if peer.certificate is not None:
        seen = f"certificate {peer.certificate.thumbprint}"
    if peer.headers:
        listed = ", ".join(sorted(each.decode("latin-1") for each in peer.headers))
        raise InvalidRequest(
            Finding(
                "certificate header",
                f"{listed} with {seen}",
                "certificate headers from registered proxies alone",
                "Where this is your proxy, register its certificate: certbound proxy add",
                Reason.HEADER_UNTRUSTED_PEER,
            )
        )
    reason = Reason.NO_CERTIFICATE if peer.certificate is None else Reason.THUMBPRINT_UNREGISTERED
    raise _unproven(
        "a certificate that could not be taken" if peer.is_malformed else seen,
        "Let the proxy present its certificate here, and register it: certbound proxy add",
        Reason.CERTIFICATE_MALFORMED if peer.is_malformed else reason,
    )


def _unproven(seen: str, action: str, reason: Reason) -> InvalidClient:
    return InvalidClient(Finding("proxy", seen, "a registered proxy", action, reason))
