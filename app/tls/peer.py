"""The certificate a client proved possession of, and nothing more."""

import base64
import hashlib
from dataclasses import dataclass, field


def thumbprint(der: bytes) -> str:
    """``x5t#S256`` of a DER certificate: base64url SHA-256, no padding, 43 characters (RFC 8705 §3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A leaf certificate whose private key signed this connection's handshake.

    Guarantees possession of the key at handshake time. Says nothing about who issued the
    certificate, whether it is in date or revoked, or what its names mean: only `app.pki.check`
    turns it into a `TrustedCertificate`. It may not even parse.
    """

    der: bytes
    """The leaf as sent, DER."""
    presented: tuple[bytes, ...]
    """What else the client sent, in its order, DER: path material, never an identity."""
    tls_version: str
    """``TLSv1.2`` or ``TLSv1.3``."""
    cipher: str
    """IANA or OpenSSL name of the negotiated suite."""
    termination: str = "direct"
    """Who ended TLS: ``direct``, or later a proxy's registered name."""
    thumbprint: str = field(init=False)
    """``x5t#S256`` of `der`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "thumbprint", thumbprint(self.der))
