"""What a client sent where it does not belong is recorded without the secrets that may be in it.

Guarantees: what looks like a JWT, whole or cut, and the user name and password of a URL are not in
the result. Not here: secrets without a form, such as a password given for a scope.
"""

import re

_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}")
"""Base64url of ``{"`` begins every JOSE header."""
_USER = re.compile(r"://[^/?#\s']*@")


def without_secrets(text: str) -> str:
    """The text, for the audit. Of a short text only: it looks at each place more than once."""
    shown = _JWT.sub(lambda found: f"(a token, {len(found[0])} characters)", text)
    return _USER.sub("://(hidden)@", shown)
