"""What a resource demands of the tokens issued for it, beyond the scopes it knows.

Guarantees that a token is issued only where every rule holds, and that it lives no longer than the
resource allows. Decided where the token is issued: a rule counts from the next token on, and says
nothing of those that left before.
"""

from collections.abc import Iterator

from app.clients.registry import Resource
from app.errors import Finding, InvalidTarget, Reason
from app.grants.request import Policy
from app.pki.check import TrustedCertificate

CHECK = "resource rules"
_ACTION = "Ask with another certificate, or change the rules: certbound resource show"


def lifetime(resource: Resource, policy: Policy) -> int:
    """Seconds that a token for the resource lives at most."""
    if resource.max_lifetime is None:
        return policy.access_token_lifetime
    return min(resource.max_lifetime, policy.access_token_lifetime)


def examine_rules(resource: Resource, certificate: TrustedCertificate) -> Iterator[Finding]:
    """What each rule of the resource says to this certificate; nothing where it has none."""
    if resource.trust_sets:
        expected = f"trust set {' or '.join(resource.trust_sets)}, as {resource.url} demands"
        seen = "a registered certificate or key, which no trust set vouches for"
        if certificate.trust_set is not None:
            seen = f"vouched for by trust set {certificate.trust_set}"
        yield _judged(seen, expected, holds=certificate.trust_set in resource.trust_sets)
    if resource.direct_only:
        where = certificate.peer.termination
        direct = where == "direct"
        seen = "TLS ended at this server" if direct else f"TLS ended at the proxy {where}"
        expected = f"a connection straight to this server, as {resource.url} demands"
        yield _judged(seen, expected, holds=direct)


def require_rules(resource: Resource, certificate: TrustedCertificate) -> None:
    """Refuse a certificate that the resource does not take.

    Raises:
        InvalidTarget: a rule does not hold.

    """
    for finding in examine_rules(resource, certificate):
        if not finding.passed:
            raise InvalidTarget(finding)


def _judged(seen: str, expected: str, *, holds: bool) -> Finding:
    if holds:
        return Finding(CHECK, seen, expected)
    return Finding(CHECK, seen, expected, _ACTION, Reason.BINDING_REQUIRED)
