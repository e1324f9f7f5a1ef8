"""Whether a caller behind a proxy may use a token, by the certificate that the proxy saw.

Guarantees that a `Forwarded` is about a token that is genuine, recorded and good at that moment,
and that it accepts only the certificate the token is bound to, with every scope that was asked
for. Decisions only: that the proxy is one, and its header true to form, was judged before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.audit import CertificateEvidence, TokenPresented, new_ref
from app.binding import mtls
from app.clients.registry import Registry
from app.errors import Finding, InsufficientScope, InvalidToken, OAuthError, Reason
from app.store.tokens import TokenRow
from app.tokens.genuine import Genuine
from app.tokens.introspect import is_good, verdict_on


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A verdict on a good token. Refused, it has the error that the caller gets."""

    event: TokenPresented
    row: TokenRow
    error: OAuthError | None
    token: None = None
    use: None = None
    status_list: None = None
    revokes: None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What a proxy lets through: the resource behind it, and the scopes needed there."""

    proxy: str
    resource: str
    scopes: Sequence[str]


def require_good(
    registry: Registry, passage: Passage, genuine: Genuine | None, row: TokenRow | None, now: int
) -> TokenRow:
    """The record of a token that counts at this resource.

    Raises:
        InvalidToken: it does not.

    """
    if genuine is None or row is None or not genuine.agrees(row):
        raise _invalid("no token of this server that is in date", Reason.REQUEST_MALFORMED)
    if row.resource != passage.resource:
        raise _invalid(f"a token for {row.resource}", Reason.RESOURCE_NOT_ALLOWED)
    if not is_good(registry, genuine, row, now):
        client = registry.client(row.client_id)
        if client is None:
            raise _invalid("a token of a client that is gone", Reason.CLIENT_UNKNOWN)
        if client.disabled:
            raise _invalid("a token of a disabled client", Reason.CLIENT_DISABLED)
        raise _invalid("a token that was revoked, or has ended", Reason.REVOKED)
    return row


def forward(passage: Passage, row: TokenRow, seen: CertificateEvidence | None) -> Forwarded:
    """The verdict on a good token that came with the certificate `seen`, or with none."""
    verdict, reason = verdict_on(row.thumbprint, seen.thumbprint if seen else None)
    error: OAuthError | None = None
    if reason is not None:
        error = InvalidToken()
    elif not set(row.scope.split()).issuperset(passage.scopes):
        reason, error = Reason.SCOPE_NOT_ALLOWED, InsufficientScope()
    event = TokenPresented(
        decision="accepted" if reason is None else "refused",
        reason=None if reason is None else reason.value,
        ref=None if reason is None else new_ref(),
        client_id=row.client_id,
        certificate=seen,
        jti=row.jti,
        resource=row.resource,
        reporter=termination(passage.proxy),
        verdict=verdict,
        confirmation=mtls.CONFIRMATION,
        bound_to=row.thumbprint,
    )
    return Forwarded(event, row, error)


def termination(proxy: str) -> str:
    """As the audit names the place where this proxy ended TLS, and who told."""
    return f"proxy:{proxy}"


def _invalid(seen: str, reason: Reason) -> InvalidToken:
    expected = "a good token for this resource"
    return InvalidToken(Finding("token", seen, expected, "Get a new token.", reason))
