"""Judging one request at a protected resource: the token, and the certificate it is bound to.

Guarantees that what it accepts was signed by the issuer for this audience, is in date and not
revoked, allows the scopes asked for, and is held by the one who presents the certificate it is
bound to: compared on every request, whatever is remembered. Everything it cannot check is refused
(an unknown confirmation method, a status list out of reach). Each request leaves one `Decision`.
Does not say that the caller's intent is good: a holder may have been told what to do.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from app import clock
from app.binding import mtls
from app.errors import Reason, Refused
from app.jose.algorithms import ALGORITHMS
from app.jose.jwt import LEEWAY, MOST_LEEWAY
from app.jose.jwt import InvalidToken as TokenRefused
from app.resource import bearer, challenge, keys
from app.resource.accepted import Accepted, Facts
from app.resource.bearer import Sent
from app.resource.certificate import Presented
from app.resource.challenge import (
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    NoToken,
    Unavailable,
)
from app.resource.decision import LOGGER, OnDecision, Record, Verdict, log
from app.resource.kept import OutOfReach, patiently, patiently_async
from app.resource.status import StatusLists
from app.resource.tokens import SignedTokens, Tokens

STATUS_GRACE = 60
"""Seconds that a status list is used beyond its time while the issuer is out of reach: enough for
its restart, and at worst as much again as a list's usual time."""


class Verifier:
    """One per protected resource. Safe to share between threads and event loops."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        ca_file: str | Path | None = None,
        binding: Literal["required", "if_bound"] = "required",
        algorithm: str = "ES256",
        status: Literal["check", "off"] = "check",
        status_grace: int = STATUS_GRACE,
        leeway: int = LEEWAY,
        tokens: Tokens | None = None,
        on_decision: OnDecision = log,
        fetch: keys.Fetch | None = None,
        now: Callable[[], int] = clock.now,
    ) -> None:
        """Fetches nothing yet.

        `issuer` and `audience` are compared character by character with what tokens say.
        `ca_file`: CAs that vouch for the issuer's server, besides the system's. `binding`:
        ``if_bound`` also accepts tokens that are bound to nothing. `algorithm`: the one accepted.
        `status`: ``off`` accepts revoked tokens until they end. `leeway`: seconds clocks may
        differ. `tokens`: another way to judge them (`app.resource.introspection`).
        `on_decision` is called for each request and must not block; what it raises ends the
        request.

        Raises:
            ValueError: a value that cannot be meant.

        """
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}")
        if binding not in ("required", "if_bound") or status not in ("check", "off"):
            raise ValueError("binding is 'required' or 'if_bound', status is 'check' or 'off'")
        if not 0 <= leeway <= MOST_LEEWAY:  # longer, and a revoked token may have left its list
            raise ValueError(f"leeway must be from 0 to {MOST_LEEWAY} seconds")
        self.issuer, self.audience = issuer, audience
        self.binding_required = binding == "required"
        self._record = Record(audience, on_decision)
        if tokens is None:
            fetch = fetch or keys.over_https(None if ca_file is None else Path(ca_file))
            known = keys.IssuerKeys(issuer, fetch, now)
            lists = StatusLists(
                issuer, algorithm=algorithm, keys=known, fetch=fetch, now=now, grace=status_grace
            )
            tokens = SignedTokens(
                issuer=issuer,
                audience=audience,
                algorithm=algorithm,
                leeway=leeway,
                keys=known,
                status=lists if status == "check" else None,
                now=now,
            )
        self._tokens = tokens

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests got each verdict, as of now."""
        return self._record.counts()

    def verify(self, sent: Sent, presented: Presented, scopes: Iterable[str] = ()) -> Accepted:
        """Judge one request in a thread; may wait there for keys or a status list.

        Raises:
            Rejected: it does not get through.

        """
        needed = challenge.scope_names(scopes)
        try:
            return patiently(lambda: self._judge(sent, presented, needed))
        except OutOfReach as error:
            raise self._unavailable(presented, error) from error

    async def verify_async(
        self, sent: Sent, presented: Presented, scopes: Iterable[str] = ()
    ) -> Accepted:
        """The same on an event loop, which is never blocked.

        Raises:
            Rejected: it does not get through.

        """
        needed = challenge.scope_names(scopes)
        try:
            return await patiently_async(lambda: self._judge(sent, presented, needed))
        except OutOfReach as error:
            raise self._unavailable(presented, error) from error

    def require(self, accepted: Accepted, scopes: Iterable[str]) -> None:
        """For what one part of the resource wants beyond the rest.

        Raises:
            InsufficientScope: `accepted` has not all of `scopes`.

        """
        self._require_scopes(accepted.facts, accepted.presented, challenge.scope_names(scopes))

    def refuse(self, refused: Refused, presented: Presented) -> NoReturn:
        """Turn away a request whose certificate cannot be told (`app.resource.certificate.Source`).

        Raises:
            InvalidRequest: always.

        """
        reason = (refused.finding.reason or Reason.HEADER_MALFORMED).value
        raise InvalidRequest(self._record.add(Verdict.INVALID, reason, presented, None))

    def _judge(self, sent: Sent, presented: Presented, needed: tuple[str, ...]) -> Accepted:
        facts: Facts | None = None
        add = self._record.add
        try:
            claims = self._tokens.claims(bearer.token(sent), presented)
            facts = Facts.of(claims)
            bound = self._require_holder(facts, presented, needed)
            self._tokens.require_live(claims)
        except bearer.NotSent:
            raise NoToken(add(Verdict.NO_TOKEN, "no token", presented, None), needed) from None
        except bearer.Misplaced:
            decision = add(Verdict.INVALID, "token place", presented, None)
            raise InvalidRequest(decision) from None
        except TokenRefused as error:
            verdict = _OF_REASON.get(error.finding.reason, Verdict.INVALID)
            decision = add(verdict, error.finding.check, presented, facts)
            raise InvalidToken(decision, needed) from error
        self._require_scopes(facts, presented, needed)
        add(
            Verdict.HOLDER if bound else Verdict.UNBOUND,
            "all checks",
            presented,
            facts,
            accepted=True,
        )
        return Accepted(facts, presented, bound)

    def _require_holder(self, facts: Facts, presented: Presented, needed: tuple[str, ...]) -> bool:
        """Whether the token is bound; it is, then, to the certificate presented."""
        if facts.confirmation is None:
            if not self.binding_required:
                return False
            decision = self._record.add(Verdict.UNBOUND, "binding", presented, facts)
            raise InvalidToken(decision, needed)
        try:
            mtls.compare(facts.confirmation, presented.thumbprint)
        except Refused as refused:
            verdict = _verdict(facts.confirmation, presented)
            decision = self._record.add(verdict, refused.finding.check, presented, facts)
            raise InvalidToken(decision, needed) from refused
        return True

    def _require_scopes(self, facts: Facts, presented: Presented, needed: tuple[str, ...]) -> None:
        if not facts.scopes.issuperset(needed):
            decision = self._record.add(Verdict.INSUFFICIENT_SCOPE, "scope", presented, facts)
            raise InsufficientScope(decision, needed)

    def _unavailable(self, presented: Presented, error: OutOfReach) -> Unavailable:
        LOGGER.warning("no token can be judged for the moment: %a", str(error))
        return Unavailable(
            self._record.add(Verdict.UNAVAILABLE, "issuer out of reach", presented, None)
        )


_OF_REASON: dict[Reason | None, Verdict] = {
    Reason.BINDING_MISMATCH: Verdict.OTHER_CERTIFICATE,
    Reason.NO_CERTIFICATE: Verdict.NO_CERTIFICATE,
}
"""Where the authorization server itself compared (`app.resource.introspection`)."""


def _verdict(confirmation: Mapping[str, Any], presented: Presented) -> Verdict:
    """Why `mtls.compare` refused."""
    thumbprint = confirmation.get(mtls.CONFIRMATION)
    if set(confirmation) != {mtls.CONFIRMATION} or not isinstance(thumbprint, str):
        return Verdict.INVALID  # bound, but in a way that cannot be checked here
    if presented.thumbprint is None:
        return Verdict.NO_CERTIFICATE
    return Verdict.OTHER_CERTIFICATE
