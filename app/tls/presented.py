"""From a finished handshake to a `PeerCertificate`: the bytes as they are, nothing judged."""

import base64
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL, crypto

from app.tls.context import SUITE_NUMBERS
from app.tls.limits import Limits
from app.tls.peer import PeerCertificate

_VERSION_NAMES = {SSL.TLS1_2_VERSION: "TLSv1.2", SSL.TLS1_3_VERSION: "TLSv1.3"}
_PEM_LINE = 64  # RFC 7468 section 2


@dataclass(frozen=True, slots=True)
class Presented:
    """What the handshake brought: made once per connection, the same for all its requests."""

    peer: PeerCertificate | None
    """The certificate whose key signed the handshake; None when there is none or `error` is set."""
    error: str | None
    """``certificate_malformed`` when the client sent more than the caps allow, or no DER."""
    extension: dict[str, Any]
    """The ASGI ``tls`` extension."""


def read_certificates(session: SSL.Connection, limits: Limits) -> Presented:
    """Take the client's certificates from a session whose handshake is complete.

    OpenSSL names the leaf and, on a server, the chain without it; both are asked for.
    """
    version = session.get_protocol_version()
    cipher = session.get_cipher_name() or ""
    ders, error = _certificates(session, limits)
    peer = None
    if ders:
        peer = PeerCertificate(
            der=ders[0],
            presented=tuple(ders[1:]),
            tls_version=_VERSION_NAMES[version],
            cipher=cipher,
        )
    return Presented(
        peer,
        error,
        {
            "server_cert": None,
            "client_cert_chain": [pem(der) for der in ders],
            "client_cert_name": None,
            "client_cert_error": error,
            "tls_version": version,
            "cipher_suite": SUITE_NUMBERS.get(cipher),
        },
    )


def _certificates(session: SSL.Connection, limits: Limits) -> tuple[list[bytes], str | None]:
    leaf = session.get_peer_certificate()
    if leaf is None:
        return [], None
    certificates = [leaf, *(session.get_peer_cert_chain() or ())]
    if len(certificates) > limits.max_chain_certificates:
        return [], "certificate_malformed"
    try:
        ders = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in certificates]
    except crypto.Error:
        return [], "certificate_malformed"
    if sum(map(len, ders)) > limits.max_chain_bytes:
        return [], "certificate_malformed"
    return ders, None


def pem(der: bytes) -> str:
    """One certificate in PEM (RFC 7468 section 5)."""
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + _PEM_LINE] for start in range(0, len(text), _PEM_LINE)]
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))
