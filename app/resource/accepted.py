"""What a genuine token says, and that a request with it was let through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Finding, Reason
from app.jose.jwt import InvalidToken
from app.resource.certificate import Presented


@dataclass(frozen=True, slots=True)
class Facts:
    """The claims that decisions rest on, of the types they must have (RFC 9068 section 2.2)."""

    claims: Mapping[str, Any]
    client_id: str
    subject: str | None
    jti: str | None
    scopes: frozenset[str]
    expires_at: int
    confirmation: Mapping[str, Any] | None
    """``cnf``; None: the token is bound to nothing."""

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> "Facts":
        """From the claims of a genuine token.

        Raises:
            InvalidToken: one of them is missing or of another type.

        """
        subject, jti, cnf = claims.get("sub"), claims.get("jti"), claims.get("cnf")
        client_id, scope, ends = claims.get("client_id"), claims.get("scope", ""), claims.get("exp")
        if not isinstance(client_id, str) or not client_id:
            raise _wrong("client_id", "a string")
        if not isinstance(subject, str | None) or not isinstance(jti, str | None):
            raise _wrong("sub or jti", "a string")
        if not isinstance(scope, str):
            raise _wrong("scope", "scopes separated by spaces")
        if type(ends) is not int:
            raise _wrong("exp", "a date")
        if "cnf" in claims and not isinstance(cnf, dict):
            raise _wrong("cnf", "an object")
        scopes = frozenset(scope.split(" ")) - {
            ""
        }  # RFC 6749 section 3.3: no other blank parts them
        return cls(claims, client_id, subject, jti, scopes, ends, cnf)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that may go on; made by `app.resource.verifier.Verifier` only."""

    facts: Facts
    presented: Presented
    bound: bool
    """Whether the caller has proven to be the holder; False only with ``binding="if_bound"``."""

    @property
    def claims(self) -> Mapping[str, Any]:
        """All that the token says."""
        return self.facts.claims

    @property
    def client_id(self) -> str:
        """The client that the token was issued to."""
        return self.facts.client_id

    @property
    def subject(self) -> str | None:
        """On whose behalf: the client itself, or a person."""
        return self.facts.subject

    @property
    def scopes(self) -> frozenset[str]:
        """What the token allows."""
        return self.facts.scopes


def _wrong(claim: str, expected: str) -> InvalidToken:
    seen = "missing, or of another type"
    return InvalidToken(Finding(f"token {claim}", seen, expected, "", Reason.REQUEST_MALFORMED))
