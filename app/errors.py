"""Errors for three audiences: the wire (constant), the operator (`Finding`), the debugger (cause).

`OAuthError` subclasses carry a registered code and a *constant* description; nothing a client sent
ever enters them. What was really seen travels beside it as a `Finding`, which only audit, doctor
and explain may show.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Why a request was refused. For audit, metrics, doctor and explain; never for the wire."""

    NO_CERTIFICATE = "no_certificate"
    CERTIFICATE_MALFORMED = "certificate_malformed"
    HEADER_UNTRUSTED_PEER = "header_untrusted_peer"
    HEADER_MALFORMED = "header_malformed"
    HEADER_DUPLICATE = "header_duplicate"
    ISSUER_UNKNOWN = "issuer_unknown"
    CHAIN_INCOMPLETE = "chain_incomplete"
    CHAIN_INVALID = "chain_invalid"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    EKU_MISSING_CLIENT_AUTH = "eku_missing_client_auth"
    KEY_USAGE = "key_usage"
    WEAK_KEY = "weak_key"
    WEAK_SIGNATURE = "weak_signature"
    NAME_CONSTRAINT = "name_constraint"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation_unknown"
    DN_MISMATCH = "dn_mismatch"
    SAN_MISMATCH = "san_mismatch"
    THUMBPRINT_UNREGISTERED = "thumbprint_unregistered"
    CERTIFICATE_NOT_ACTIVE = "certificate_not_active"
    CERTIFICATE_RETIRED = "certificate_retired"
    BOUNDARY_VIOLATION = "boundary_violation"
    SPIFFE_NOT_SINGLE_URI = "spiffe_not_single_uri"
    TRUST_DOMAIN_UNKNOWN = "trust_domain_unknown"
    BUNDLE_STALE = "bundle_stale"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CLIENT_UNKNOWN = "client_unknown"
    CLIENT_DISABLED = "client_disabled"
    GRANT_NOT_ALLOWED = "grant_not_allowed"
    SCOPE_NOT_ALLOWED = "scope_not_allowed"
    RESOURCE_UNKNOWN = "resource_unknown"
    RESOURCE_NOT_ALLOWED = "resource_not_allowed"
    BINDING_REQUIRED = "binding_required"
    BINDING_MISMATCH = "binding_mismatch"
    RATE_LIMITED = "rate_limited"
    # Beyond contract.md: refusals that have nothing to do with a certificate.
    REQUEST_MALFORMED = "request_malformed"
    GRANT_UNKNOWN = "grant_unknown"
    UNAVAILABLE = "unavailable"
    TOKEN_NOT_OWN = "token_not_own"  # noqa: S105 - a reason, no secret


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw, for operators. `reason` is None when the check passed.

    `seen`, `expected` and `action` are plain sentences or values. The first two may quote what a
    client sent, so every reader must escape them for its medium (the CLI and the audit do).
    `action` never does: operators paste commands from it. It is constant text, or holds names that
    an operator registered.
    """

    check: str
    seen: str
    expected: str = ""
    action: str = ""
    reason: Reason | None = None
    doubt: bool = False
    """It passed although what it asks for was not known: by policy. The audit tells."""

    @property
    def passed(self) -> bool:
        """Whether this check found nothing to object to."""
        return self.reason is None


class Refused(Exception):
    """A check said no. Carries the finding; whoever speaks HTTP turns it into an `OAuthError`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


@dataclass(slots=True)
class Examination:
    """The findings of one decision, in the order the checks ran.

    The token endpoint uses ``Examination()``: the first failing finding ends it (`Refused`).
    The doctor uses ``Examination(thorough=True)``: it goes on where going on makes sense, so that
    one look shows every problem. Both run the same checks.
    """

    thorough: bool = False
    findings: list[Finding] = field(default_factory=list)

    def note(self, finding: Finding) -> None:
        """Record one finding; raises `Refused` on a failing one unless thorough."""
        self.findings.append(finding)
        if finding.reason is not None and not self.thorough:
            raise Refused(finding)

    def end(self, finding: Finding) -> Refused:
        """Record a failing finding after which nothing can be checked: ``raise exam.end(...)``."""
        self.findings.append(finding)
        return Refused(finding)

    @property
    def doubts(self) -> str | None:
        """What was let pass without being known, or None."""
        return "; ".join(f.seen for f in self.findings if f.doubt) or None

    @property
    def first_failure(self) -> Finding | None:
        """The finding the token endpoint would have stopped at, or None."""
        return next((f for f in self.findings if f.reason is not None), None)


class OAuthError(Exception):
    """One registered error code. `description` is public and constant; `finding` is private."""

    error: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500
    description: ClassVar[str] = "The server met an unexpected condition."
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, finding: Finding | None = None) -> None:
        super().__init__(self.error)
        self.finding = finding or Finding("request", "", reason=Reason.REQUEST_MALFORMED)


class InvalidRequest(OAuthError):
    """RFC 6749 section 5.2: a parameter is missing, repeated, or the body is malformed."""

    error = "invalid_request"
    status = 400
    description = "The request is malformed."


class InvalidClient(OAuthError):
    """RFC 6749 section 5.2: client authentication failed. One text for every cause."""

    error = "invalid_client"
    status = 401
    description = (
        "Client authentication failed. Present the client's certificate on this connection "
        "or at the mTLS endpoint alias."
    )


class UnauthorizedClient(OAuthError):
    """RFC 6749 section 5.2: the client may not use this grant type."""

    error = "unauthorized_client"
    status = 400
    description = "The client may not use this grant type."


class UnsupportedGrantType(OAuthError):
    """RFC 6749 section 5.2: no such grant type here."""

    error = "unsupported_grant_type"
    status = 400
    description = "The grant type is not supported."


class InvalidScope(OAuthError):
    """RFC 6749 section 5.2: a scope is malformed, unknown or not granted to the client."""

    error = "invalid_scope"
    status = 400
    description = "The scope is malformed or not allowed."


class InvalidTarget(OAuthError):
    """RFC 8707 section 2: the resource is malformed, unknown or not allowed for the client."""

    error = "invalid_target"
    status = 400
    description = "The resource is missing, unknown or not allowed."


class InvalidToken(OAuthError):
    """RFC 6750 section 3.1: what is wrong with the token, or with the certificate beside it, is not told."""

    error = "invalid_token"
    status = 401
    description = "The token is not valid here, or not with the certificate it came with."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InsufficientScope(OAuthError):
    """RFC 6750 section 3.1: the token holds, and does not allow what is asked of it."""

    error = "insufficient_scope"
    status = 403
    description = "The token does not have the scope that is required."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


class NotFound(OAuthError):
    """No endpoint at this path."""

    error = "not_found"
    status = 404
    description = "There is nothing at this path. Endpoint URLs are in the server's metadata."


class MethodNotAllowed(OAuthError):
    """The endpoint exists but not for this HTTP method; the router adds ``Allow``."""

    error = "invalid_request"
    status = 405
    description = "The endpoint does not take this HTTP method."


class NotAcceptable(OAuthError):
    """The document has one media type, which the request's ``Accept`` excludes."""

    error = "invalid_request"
    status = 406
    description = "The document is not available as any media type that the request accepts."


class NotSupported(OAuthError):
    """Token Status List section 8.4: a list of another time than now is asked for."""

    error = "invalid_request"
    status = 501
    description = "Status lists of the past are not kept."


class PayloadTooLarge(OAuthError):
    """The body is larger than any valid request."""

    error = "invalid_request"
    status = 413
    description = "The request body is too large."


class ServerError(OAuthError):
    """An unexpected condition; the cause is in the log under the same `error_ref`."""


class RateLimited(OAuthError):
    """More requests of one client, or refused ones from one address, than the settings allow."""

    error = "temporarily_unavailable"
    status = 429
    description = "Too many requests. Try again later."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class TemporarilyUnavailable(OAuthError):
    """The database cannot take the record, so no token leaves (promise 2)."""

    error = "temporarily_unavailable"
    status = 503
    description = "The server cannot answer for the moment. Try again."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}
