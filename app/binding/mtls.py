"""Certificate-bound access tokens: ``cnf`` with ``x5t#S256`` (RFC 8705 section 3.1)."""

import hmac
from collections.abc import Mapping
from typing import Any

from app.errors import Finding, Reason, Refused
from app.tls.peer import PeerCertificate

CONFIRMATION = "x5t#S256"


def confirmation(peer: PeerCertificate) -> dict[str, str]:
    """The ``cnf`` value that binds a token to `peer`'s certificate: the whole DER, hashed."""
    return {CONFIRMATION: peer.thumbprint}


def check(cnf: Mapping[str, Any], peer: PeerCertificate | None) -> Finding:
    """The finding that `peer` is the certificate `cnf` names.

    Fails closed: no certificate, another certificate, a missing member, and any member this
    function cannot check are all refused. Does not verify the token that carried `cnf`.

    Raises:
        Refused: with reason ``binding_mismatch`` or ``no_certificate``.

    """
    return compare(cnf, None if peer is None else peer.thumbprint)


def compare(cnf: Mapping[str, Any], thumbprint: str | None) -> Finding:
    """As `check`, for a certificate of which only the thumbprint is known; None: there is none.

    Whether the one who presents it has its key is the caller's to know.

    Raises:
        Refused: as `check`.

    """
    expected = cnf.get(CONFIRMATION)
    if not isinstance(expected, str) or set(cnf) != {CONFIRMATION}:
        raise Refused(
            Finding(
                "binding",
                f"cnf with members {', '.join(sorted(map(str, cnf))) or 'none'}",
                f"cnf with {CONFIRMATION} alone",
                "Get a token from this server; do not accept this one as a bearer token.",
                Reason.BINDING_MISMATCH,
            )
        )
    if thumbprint is None:
        raise Refused(
            Finding(
                "binding",
                "no certificate",
                f"the certificate with thumbprint {expected}",
                "Present the certificate the token was issued to.",
                Reason.NO_CERTIFICATE,
            )
        )
    if not hmac.compare_digest(expected.encode(), thumbprint.encode()):
        raise Refused(
            Finding(
                "binding",
                f"certificate {thumbprint}",
                f"certificate {expected}",
                "Use the certificate the token was issued to, or get a new token with this one.",
                Reason.BINDING_MISMATCH,
            )
        )
    return Finding("binding", f"bound to this certificate ({expected})")
