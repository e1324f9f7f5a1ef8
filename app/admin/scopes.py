"""Scopes as an operator registers them (RFC 6749 section 3.3)."""

from collections.abc import Iterable

from app.admin.problem import Problem
from app.grants.scope import MAX_SCOPES, is_scope_token


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes, each once, in the order given.

    Raises:
        Problem: one is no scope-token, or there are more than one request could ask for.

    """
    found = tuple(dict.fromkeys(scopes))
    for scope in found:
        if not is_scope_token(scope) or len(scope) > 255:  # noqa: PLR2004 - far beyond any in use
            raise Problem(
                "this is no scope",
                seen=scope[:200] or "an empty string",
                expected='printable ASCII without blanks, quotes or backslashes, such as "api:read"',
                action="Repeat --scope for each scope.",
            )
    if len(found) > MAX_SCOPES:
        raise Problem("too many scopes", seen=str(len(found)), expected=f"at most {MAX_SCOPES}")
    return found
