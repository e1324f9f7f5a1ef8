"""What was decided about one request, for the resource's own audit. Never the token itself."""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from app.binding import mtls
from app.resource.accepted import Facts
from app.resource.certificate import UNKNOWN, Presented

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
    """The default: one record to the logger ``certbound.resource``.

    The message says who came with whose token, as far as a genuine token told; all facts are in
    ``extra``.
    """
    level = logging.INFO if decision.accepted else logging.WARNING
    if not LOGGER.isEnabledFor(level):
        return
    LOGGER.log(
        level,
        "%s: %s%s",
        "accepted" if decision.accepted else "refused",
        decision.verdict.value,
        _who(decision),
        extra={"certbound": {**asdict(decision), "verdict": decision.verdict.value}},
    )


def _who(decision: Decision) -> str:
    """`` check=… client=… jti=… bound_to=… certificate=…``, without what is not known."""
    known = {
        "check": None if decision.accepted else decision.reason,
        "client": decision.client_id,
        "jti": decision.jti,
        "bound_to": decision.bound_to,
        "certificate": decision.thumbprint,
    }
    return "".join(f" {name}={_word(value)}" for name, value in known.items() if value)


def _word(value: str) -> str:
    """`value` where it is one plain word; else quoted, so that it makes no other word or line."""
    return value if re.fullmatch(r"[!-~]+", value) else ascii(value)


UNTOLD = (
    "nothing tells this application the client's certificate, so every bound token is refused; "
    "start uvicorn with --http app.resource.uvicorn:HttpWithCertificate --ssl-certfile FILE "
    "--ssl-keyfile FILE --ssl-ca-certs FILE --ssl-cert-reqs 1, or name the proxy in front: "
    "Guard(…, source=Connection([Proxy(…)]))"
)
"""Warned of once: it looks like a caller without a certificate, and is a server set up wrongly."""


class Record:
    """Makes each decision, counts it and tells it. Any thread may."""

    def __init__(self, resource: str, tell: OnDecision) -> None:
        self._resource = resource
        self._tell = tell
        self._lock = threading.Lock()
        self._counts = {verdict.value: 0 for verdict in Verdict}
        self._warned = False

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
        untold = verdict is Verdict.NO_CERTIFICATE and presented.termination == UNKNOWN.termination
        with self._lock:
            self._counts[verdict.value] += 1
            warn, self._warned = untold and not self._warned, self._warned or untold
        if warn:
            LOGGER.warning(UNTOLD)
        self._tell(decision)
        return decision

    def counts(self) -> Mapping[str, int]:
        """How often each verdict was given, as of now."""
        with self._lock:
            return dict(self._counts)
