"""That a client authenticated with a certificate, for as long as it would again.

Guarantees: it is kept with one registry snapshot, so it ends with any change there, and counts only
between the moments at which a certificate on the path begins or ends. Whatever else may change an
answer from one second to the next keeps it from being remembered at all; `app.clients.authentication`
says what. Refusals are never remembered.
"""

from dataclasses import dataclass

from app.clients.model import Client
from app.errors import Finding
from app.pki.check import TrustedCertificate


@dataclass(frozen=True, slots=True)
class Standing:
    """One client with one certificate, and what was found when it was examined."""

    client: Client
    certificate: TrustedCertificate
    findings: tuple[Finding, ...]

    def holds(self, now: int) -> bool:
        """Whether it would be found again."""
        begin, end = self.certificate.span
        return begin <= now < end
