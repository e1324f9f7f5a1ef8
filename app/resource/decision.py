"""What was decided about one request, for the resource's own audit. Never the token itself."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from app.binding import mtls
from app.resource.accepted import Facts
from app.resource.certificate import Presented

LOGGER = logging.getLogger("certbound.resource")


class Verdict(StrEnum):
    """How the caller stands to the token it sent."""

    HOLDER = "holder"
    OTHER_CERTIFICATE = "other_certificate"
    """A genuine token with somebody else's certificate: it was copied, or a certificate renewed."""
    NO_CERTIFICATE = "no_certificate"
    UNBOUND = "unbound"
    """The token is bound to nothing: refused, or let pass by ``binding="if_bound"``."""
    INVALID = "invalid"
    """Forged, foreign, expired, revoked, malformed, or bound in a way that cannot be checked."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NO_TOKEN = "no_token"  # noqa: S105  # a verdict
    UNAVAILABLE = "unavailable"
    """Nothing is known against the token, but the keys or the status list cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One request. What could not be learned from a *genuine* token is None."""

    verdict: Verdict
    accepted: bool
    resource: str
    reason: str
    """The check that decided, from a fixed list: ``binding``, ``token exp``, ``token status``…"""
    termination: str
    """Who ended TLS: ``direct``, a proxy's name, or ``unknown``."""
    thumbprint: str | None
    """Of the certificate the caller presented."""
    client_id: str | None = None
    subject: str | None = None
    jti: str | None = None
    bound_to: str | None = None
    """The thumbprint in the token."""
    confirmation: str | None = None
    """The confirmation method: ``x5t#S256``."""
    token_type: str = "Bearer"  # noqa: S105  # RFC 8705 section 3


OnDecision = Callable[[Decision], None]


def log(decision: Decision) -> None:
    """The default: one record to the logger ``certbound.resource``, the facts in ``extra``."""
    level = logging.INFO if decision.accepted else logging.WARNING
    if not LOGGER.isEnabledFor(level):
        return
    LOGGER.log(
        level,
        "%s: %s",
        "accepted" if decision.accepted else "refused",
        decision.verdict.value,
        extra={"certbound": {**asdict(decision), "verdict": decision.verdict.value}},
    )


class Record:
    """Makes each decision, counts it and tells it. Any thread may."""

    def __init__(self, resource: str, tell: OnDecision) -> None:
        self._resource = resource
        self._tell = tell
        self._lock = threading.Lock()
        self._counts = {verdict.value: 0 for verdict in Verdict}

    def add(
        self,
        verdict: Verdict,
        reason: str,
        presented: Presented,
        facts: Facts | None,
        *,
        accepted: bool = False,
    ) -> Decision:
        """One more. `facts` only of a genuine token."""
        cnf = facts.confirmation if facts is not None else None
        bound_to = None if cnf is None else cnf.get(mtls.CONFIRMATION)
        decision = Decision(
            verdict=verdict,
            accepted=accepted,
            resource=self._resource,
            reason=reason,
            termination=presented.termination,
            thumbprint=presented.thumbprint,
            client_id=None if facts is None else facts.client_id,
            subject=None if facts is None else facts.subject,
            jti=None if facts is None else facts.jti,
            bound_to=bound_to if isinstance(bound_to, str) else None,
            confirmation=None if bound_to is None else mtls.CONFIRMATION,
        )
        with self._lock:
            self._counts[verdict.value] += 1
        self._tell(decision)
        return decision

    def counts(self) -> Mapping[str, int]:
        """How often each verdict was given, as of now."""
        with self._lock:
            return dict(self._counts)
