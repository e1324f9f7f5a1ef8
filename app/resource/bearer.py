"""The token of a request: in the Authorization header, once, and nowhere else.

RFC 6750 section 2.1; RFC 9700 section 4.3.2 forbids tokens in a query. The body is never read: a
token there is as good as none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_SCHEME = b"bearer"
_NAME = b"access_token"


class NotSent(Exception):
    """There is no Bearer token."""


class Misplaced(Exception):
    """There is one where none may be, or more than one way to read the request."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The parts of a request that may hold a token."""

    authorization: Sequence[bytes] = ()
    """Every value of the Authorization header, as they came."""
    query: bytes = b""


def token(sent: Sent) -> bytes:
    """The token as sent, of whatever form and size.

    Raises:
        Misplaced: two Authorization headers, or a token in the query.
        NotSent: no Bearer token.

    """
    if sent.query and any(_is_token(field) for field in re.split(b"[&;]", sent.query)):
        raise Misplaced
    if len(sent.authorization) > 1:
        raise Misplaced
    scheme, _, value = (*sent.authorization, b"")[0].strip(b" \t").partition(b" ")
    if scheme.lower() != _SCHEME:
        raise NotSent
    return value.strip(b" ")


def _is_token(field: bytes) -> bool:
    name = field.partition(b"=")[0]
    return len(name) <= 3 * len(_NAME) and unquote_to_bytes(name) == _NAME
