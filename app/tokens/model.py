"""A decision to issue a token, and the answer that follows it."""

from dataclasses import dataclass

from app.binding import mtls
from app.clients.authentication import AuthenticatedClient


@dataclass(frozen=True, slots=True)
class Issue:
    """A grant's decision, as data: who gets what, for where. It signs nothing and knows no HTTP."""

    client: AuthenticatedClient
    grant_type: str
    subject: str
    scope: tuple[str, ...]
    resource: str
    lifetime: int
    """Seconds wished for; the certificate's notAfter may shorten it."""
    crossings: tuple[str, ...] = ()
    """Boundaries this token crosses that are reported and not refused."""
    confirmation: str = mtls.CONFIRMATION
    """What will tie the token to its holder: a row of BINDINGS."""


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The members of RFC 6749 section 5.1. Made only after the record was committed."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str

    def members(self) -> dict[str, str | int]:
        """The JSON object; an empty scope is left out, as RFC 6749 knows no empty one."""
        found: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
        }
        if self.scope:
            found["scope"] = self.scope
        return found
