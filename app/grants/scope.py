"""Scope values (RFC 6749 section 3.3 and appendix A.4)."""

import re

from app.errors import Finding, InvalidScope, Reason

MAX_LENGTH = 4096
"""Characters: 100 scopes of 40. A 50 k-character scope cost a peer its CPU (CVE-2026-4634)."""
MAX_SCOPES = 100
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def is_scope_token(text: str) -> bool:
    """Whether `text` is one scope-token."""
    return SCOPE_TOKEN.fullmatch(text) is not None


def parse_scope(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """The scopes asked for, each once, in the order given; None where the parameter is absent.

    Raises:
        InvalidScope: more than `MAX_LENGTH` characters or `MAX_SCOPES` scopes, a character outside
            the grammar, or a separator other than single spaces.

    """
    if not values:
        return None
    text = values[0]
    scopes = text.split(" ") if len(text) <= MAX_LENGTH else []
    if not scopes or len(scopes) > MAX_SCOPES or not all(map(is_scope_token, scopes)):
        raise InvalidScope(
            Finding(
                "scope",
                f"{len(text)} characters that are no scope list",
                f"at most {MAX_SCOPES} scope-tokens separated by single spaces",
                reason=Reason.SCOPE_NOT_ALLOWED,
            )
        )
    return tuple(dict.fromkeys(scopes))
