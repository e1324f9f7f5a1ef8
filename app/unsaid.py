"""Secrets that stand where they do not belong are not repeated: in the audit, on a terminal, in a log.

Guarantees: what looks like a JWT, whole or cut, and the user name and password of a URL are not in
the result. Not here: secrets without a form, such as a password given for a scope.
"""

import re
from urllib.parse import urlsplit

_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}")
"""Base64url of ``{"`` begins every JOSE header."""
_USER = re.compile(r"://[^/?#\s']*@")
_CUT = re.compile(r"://[^/?#\s'@:]*:(?![0-9]*(?:[/?#\s']|\Z))[^\s'@]*@")
"""A password with a slash in it, unescaped: what stands in place of the port is none."""


def without_secrets(text: str) -> str:
    """The text, for the audit. Of a short text only: it looks at each place more than once."""
    return without_passwords(_JWT.sub(lambda found: f"(a token, {len(found[0])} characters)", text))


def without_passwords(text: str) -> str:
    """The text with ``(hidden)`` for what stands before the host in any URL in it."""
    for pattern in (_USER, _CUT):
        text = pattern.sub("://(hidden)@", text)
    return text


def has_user(url: str) -> bool:
    """Whether there is user information in this URI (RFC 3986 section 3.2.1), a password or not.

    Raises:
        ValueError: it cannot be read, which a password that was not escaped may be the cause of.
            Python's own message would quote that.

    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # one that is no number raises ValueError
    except ValueError:
        raise ValueError("must be a URL whose host and port can be read") from None
    return "@" in parts.netloc
