"""Client authentication methods: a file and a line each (RFC 8705 section 2).

The registration picks the row. Nothing is tried in turn, so nothing falls through to a weaker one.
"""

from typing import Protocol

from app.clients.methods import self_signed_tls_client_auth, tls_client_auth
from app.clients.methods.evidence import Evidence
from app.errors import Examination
from app.pki.check import TrustedCertificate


class Method(Protocol):
    """What a row of METHODS does."""

    def __call__(self, exam: Examination, evidence: Evidence) -> TrustedCertificate:
        """The certificate that authenticates the client, or `Refused`."""


METHODS: dict[str, Method] = {
    tls_client_auth.NAME: tls_client_auth.authenticate,
    self_signed_tls_client_auth.NAME: self_signed_tls_client_auth.authenticate,
}
