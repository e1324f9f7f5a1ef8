"""What the doctor found: every check for one client, and the answer on the wire."""

from dataclasses import dataclass

from app.admin.weakest_set import Weakest
from app.clients.model import Client
from app.errors import Finding, OAuthError, Reason


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every check for one client, and the answer on the wire."""

    client_id: str
    findings: tuple[Finding, ...]
    refusal: OAuthError | None
    """None: a token. Its finding is the one that the endpoint would have stopped at."""
    fetch_problem: str | None = None
    """Why the client's `jwks_uri` could not be fetched just now."""
    client: Client | None = None
    """None: nobody is registered under `client_id`."""
    has_its_key: bool = False
    """Whether a certificate of this very key is registered for the client."""

    weakest: Weakest | None = None
    """Of the client's trust sets the one that another is stricter than about revocation."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status if self.refusal else 200

    @property
    def is_onlooker(self) -> bool:
        """Whether nothing is refused but tokens, which this client was not registered to get."""
        no_grant = self.client is not None and not self.client.grant_types
        return no_grant and all(finding.passed for finding in self.findings)

    @property
    def is_meant(self) -> bool:
        """Whether the certificate bears this client's name, or is or was registered for it."""
        if self.has_its_key:
            return True
        return any(
            finding.check in {"name", "registered"}
            and finding.reason in {None, Reason.CERTIFICATE_NOT_ACTIVE, Reason.CERTIFICATE_RETIRED}
            for finding in self.findings
        )

    @property
    def steps_passed(self) -> int:
        """How far the endpoint would have come: for ranking near misses."""
        passed = [finding.passed for finding in self.findings]
        return passed.index(False) if False in passed else len(passed)
