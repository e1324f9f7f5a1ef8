"""Grant types: a file and a line each. A grant decides; it signs nothing and knows no HTTP."""

from dataclasses import dataclass
from typing import Protocol

from app.grants import client_credentials
from app.grants.request import GrantRequest
from app.tokens.model import Issue


class Grant(Protocol):
    """What a row of GRANTS does."""

    def __call__(self, request: GrantRequest) -> Issue:
        """The decision, or an `OAuthError`."""


@dataclass(frozen=True, slots=True)
class GrantType:
    """One grant: its handler, and which of its parameters may be repeated."""

    grant: Grant
    repeatable: frozenset[str]


GRANTS: dict[str, GrantType] = {
    client_credentials.GRANT_TYPE: GrantType(
        client_credentials.grant, client_credentials.REPEATABLE
    ),
}

REPEATABLE = frozenset[str]().union(*(row.repeatable for row in GRANTS.values()))
"""Names the token endpoint's form may carry more than once."""
