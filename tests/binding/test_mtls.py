"""RFC 8705 section 3: what binds a token to a certificate, and what breaks the bond."""

import base64
import hashlib
from typing import Any

import pytest

from app.binding import mtls
from app.errors import Reason, Refused
from app.tls.peer import PeerCertificate

MINE = PeerCertificate(b"my certificate", (), "TLSv1.3", "TLS_AES_256_GCM_SHA384")
OTHER = PeerCertificate(b"another certificate", (), "TLSv1.3", "TLS_AES_256_GCM_SHA384")


def test_the_confirmation_is_the_hash_of_the_whole_certificate() -> None:
    """base64url SHA-256 of the DER, 43 characters, no padding."""
    expected = base64.urlsafe_b64encode(hashlib.sha256(MINE.der).digest()).decode().rstrip("=")
    assert mtls.confirmation(MINE) == {"x5t#S256": expected}
    assert len(expected) == 43


def test_the_holder_is_recognised() -> None:
    """The certificate a token was bound to satisfies its confirmation."""
    assert mtls.check(mtls.confirmation(MINE), MINE).passed


@pytest.mark.parametrize(
    ("cnf", "peer", "reason"),
    [
        (mtls.confirmation(MINE), OTHER, Reason.BINDING_MISMATCH),
        (mtls.confirmation(MINE), None, Reason.NO_CERTIFICATE),
        ({}, MINE, Reason.BINDING_MISMATCH),
        ({"jkt": "x"}, MINE, Reason.BINDING_MISMATCH),
        ({**mtls.confirmation(MINE), "jkt": "x"}, MINE, Reason.BINDING_MISMATCH),
        ({"x5t#S256": None}, MINE, Reason.BINDING_MISMATCH),
        ({"x5t#S256": MINE.thumbprint + "="}, MINE, Reason.BINDING_MISMATCH),
        ({"x5t#S256": MINE.thumbprint.lower()}, MINE, Reason.BINDING_MISMATCH),
        ({"x5t#S256": hashlib.sha256(MINE.der).hexdigest()}, MINE, Reason.BINDING_MISMATCH),
        ({"x5t#S256": "é" * 43}, MINE, Reason.BINDING_MISMATCH),
    ],
)
def test_anything_else_is_refused(
    cnf: dict[str, Any], peer: PeerCertificate | None, reason: Reason
) -> None:
    """Another certificate, none, a hex hash, or a member nobody checks: no holder."""
    with pytest.raises(Refused) as refused:
        mtls.check(cnf, peer)
    assert refused.value.finding.reason is reason
