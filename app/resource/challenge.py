"""Refusals as HTTP: status, ``WWW-Authenticate`` and body (RFC 6750 section 3, RFC 9728 section 5.1).

Guarantees that nothing a client sent stands in them: texts are constants, and what is configured
(scopes, the metadata URL) was checked when it was configured.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.resource.decision import Decision

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
"""RFC 6749 appendix A.4: a scope token holds neither space, quote nor backslash."""


def scope_names(scopes: Iterable[str]) -> tuple[str, ...]:
    """`scopes` as given, each of them one scope.

    Raises:
        ValueError: one of them is not.

    """
    names = (scopes,) if isinstance(scopes, str) else tuple(scopes)
    if not all(_SCOPE.fullmatch(name) for name in names):
        raise ValueError("a scope is one word without quote or backslash")
    return names


class Rejected(Exception):
    """The request does not get through. `decision` says why, for the resource's own eyes."""

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = "invalid_token"
    description: ClassVar[str] = (
        "The token is not valid here, or not with the certificate of this connection."
    )

    def __init__(self, decision: Decision, scopes: Sequence[str] = ()) -> None:
        super().__init__(f"{decision.verdict.value}: {decision.reason}")
        self.decision = decision
        self.scopes = tuple(scopes)


class InvalidToken(Rejected):
    """RFC 6750 section 3.1: one text, whatever is wrong with the token or the certificate."""


class NoToken(Rejected):
    """No token was sent; RFC 6750 section 3.1 wants no error code then."""

    error = None
    description = "This resource wants an access token in the Authorization header."


class InvalidRequest(Rejected):
    """RFC 6750 section 3.1: a token in the wrong place or twice, or an unbelievable header."""

    status = 400
    error = "invalid_request"
    description = "The request is malformed. One token, in the Authorization header, is wanted."


class InsufficientScope(Rejected):
    """RFC 6750 section 3.1: the token holds, and allows too little."""

    status = 403
    error = "insufficient_scope"
    description = "The token does not allow this."


class Unavailable(Rejected):
    """The token cannot be judged for the moment: the authorization server is out of reach."""

    status = 503
    error = "temporarily_unavailable"
    description = "The token cannot be checked for the moment. Try again."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A `Rejected` in HTTP terms."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def render(rejected: Rejected, metadata_url: str | None) -> Refusal:
    """What is sent for `rejected`."""
    members = {"error": rejected.error, "error_description": rejected.description}
    body = json.dumps({k: v for k, v in members.items() if v is not None}).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    ]
    if rejected.status == Unavailable.status:
        headers.append(("retry-after", "2"))
    else:
        headers.append(("www-authenticate", challenge(rejected, metadata_url)))
    return Refusal(rejected.status, tuple(headers), body)


def challenge(rejected: Rejected, metadata_url: str | None) -> str:
    """The value of ``WWW-Authenticate``."""
    parameters = {
        "error": rejected.error,
        "error_description": rejected.description if rejected.error else None,
        "scope": " ".join(rejected.scopes) or None,
        "resource_metadata": metadata_url,
    }
    listed = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
    return f"Bearer {listed}" if listed else "Bearer"
