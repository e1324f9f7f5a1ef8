"""The certificate that a caller saw, as it tells us: in full, by thumbprint, or that there was none.

Guarantees one reading per text. A parameter that is there without a value is a mistake here, not an
absent one: a proxy's empty variable must not turn "no certificate" into "not asked about".
"""

import binascii
import re

from app.audit import CertificateEvidence
from app.endpoints.refusal import evidence_of
from app.jose import base64url
from app.tls.peer import thumbprint
from app.tokens.introspect import Observed
from app.web.form import Form, malformed

CERTIFICATE, THUMBPRINT = "certificate", "certificate_thumbprint"
NONE = "none"
"""As a thumbprint: the caller saw no certificate."""
MAX_CERTIFICATE = 32 * 1024
"""Octets of DER: as much as a client may send us itself."""
REPORTED = "reported"
"""Where TLS ended, in the audit: somewhere else, we were told."""
_STANDARD = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DIGEST = 32  # octets of SHA-256
_SEQUENCE = b"\x30"  # the first octet of every certificate in DER


def observed_in(parameters: Form) -> Observed | None:
    """What the caller saw; None where it does not say.

    Raises:
        InvalidRequest: both parameters, one without a value, or one that cannot be read.

    """
    if parameters.empty & {CERTIFICATE, THUMBPRINT}:
        raise malformed("a certificate parameter without value", f"a value, or {NONE!r}")
    encoded, digest = parameters.get(CERTIFICATE), parameters.get(THUMBPRINT)
    if encoded is not None and digest is not None:
        raise malformed(f"{CERTIFICATE} and {THUMBPRINT}", "one of them")
    if encoded is not None:
        der = _der(encoded)
        return Observed(evidence_of(der, thumbprint=thumbprint(der), termination=REPORTED))
    if digest is None:
        return None
    if digest == NONE:
        return Observed(None)
    return Observed(CertificateEvidence(thumbprint=_x5t(digest), termination=REPORTED))


def _der(text: str) -> bytes:
    expected = "DER in base64 or base64url, one line, no PEM; + is %2B in a form"
    if len(text) > MAX_CERTIFICATE * 4 // 3 + 4:
        raise malformed(
            f"a certificate of {len(text)} characters", f"at most {MAX_CERTIFICATE} octets"
        )
    try:
        if _STANDARD.fullmatch(text):
            der = binascii.a2b_base64(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
        else:
            der = base64url.decode(text.rstrip("="))
    except ValueError:
        raise malformed("a certificate that cannot be decoded", expected) from None
    if len(der) > MAX_CERTIFICATE or not der.startswith(_SEQUENCE):
        raise malformed("something else than a certificate", expected)
    return der


def _x5t(text: str) -> str:
    try:
        if len(base64url.decode(text)) == _DIGEST:
            return text
    except ValueError:
        pass
    raise malformed("a thumbprint that is none", f"x5t#S256, 43 characters base64url, or {NONE!r}")
