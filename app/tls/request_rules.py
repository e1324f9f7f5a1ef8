"""Which requests have exactly one meaning. What llhttp already refuses is not repeated here.

RFC 9112 sections 3.2 and 6.3. Conflicting lengths, bare line feeds, folded lines, wrong chunks and
control characters never get this far; `tests/flows/test_tls_http.py` holds the whole table.
"""

import re
from urllib.parse import unquote_to_bytes

from app.tls import refusals
from app.tls.limits import Limits
from app.tls.refusals import Refused

DECISIVE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
"""Headers that decide what a request means; none may occur twice."""

_VERSIONS = frozenset(("1.1", "1.0"))
# RFC 9110 section 7.2 and RFC 3986 section 3.2.2, without user information, percent-encoding and
# sub-delimiters, which no host of ours has; "_" occurs in container networks.
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Origin-form (RFC 9112 section 3.2.1) in printable ASCII, without a fragment.
_TARGET = re.compile(rb"/[!\"$-~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(
    version: str, target: bytes, decisive: dict[bytes, bytes], limits: Limits, *, upgrade: bool
) -> None:
    """One Host, an origin-form target, one way to find the end of the body, a body within the cap.

    `upgrade`: the request asks for another protocol. That may be ignored, but llhttp takes what
    follows for the other protocol's, so a body would be lost.

    Raises:
        Refused: with the answer to give.
    """
    if (
        version not in _VERSIONS
        or not _HOST.fullmatch(decisive.get(b"host", b""))
        or not _TARGET.fullmatch(target)
    ):
        raise Refused(refusals.MALFORMED)
    coding = decisive.get(b"transfer-encoding")
    length = decisive.get(b"content-length")
    if coding is not None and (
        length is not None or version != "1.1" or coding.lower() != b"chunked"
    ):
        raise Refused(refusals.MALFORMED)
    if upgrade and (coding is not None or (length is not None and int(length) > 0)):
        raise Refused(refusals.MALFORMED)
    if length is not None and int(length) > limits.max_body_bytes:
        raise Refused(refusals.BODY_TOO_LARGE)


def decoded(raw_path: bytes) -> str:
    """The path without percent-encoding (RFC 3986 section 2.1).

    Raises:
        Refused: it is not UTF-8, or hides control characters.
    """
    path = raw_path.decode("ascii")
    if "%" not in path:
        return path
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(refusals.MALFORMED) from error
    if _CONTROL.search(path):
        raise Refused(refusals.MALFORMED)
    return path
