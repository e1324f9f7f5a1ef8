"""A certificate's SHA-256 in the spellings people paste: base64url, hex, hex with colons, a file."""

import base64
import binascii
import re
from pathlib import Path

from app.admin.certificate_file import read_chain
from app.admin.problem import Problem
from app.tls.peer import thumbprint

_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}=?")
_HEX = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}")
_OF_FILES = (".crt", ".pem", ".cer", ".der")
"""Ends of names that certificate files have, and thumbprints never."""


def thumbprint_of(text: str) -> str:
    """``x5t#S256`` (base64url, 43 characters) of what `text` writes, or of the file it names.

    Raises:
        Problem: it is none of these.

    """
    if _HEX.fullmatch(text):
        octets = binascii.unhexlify(text.replace(":", ""))
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
    if _BASE64URL.fullmatch(text):
        return text.rstrip("=")
    if _is_file(text):
        return thumbprint(read_chain(Path(text))[0])
    if "/" in text or Path(text).suffix in _OF_FILES:
        raise Problem(
            "there is no such file",
            seen=text[:200],
            expected="a certificate file, or a thumbprint",
        )
    raise Problem(
        "this is no thumbprint",
        seen=text[:200],
        expected="SHA-256 of the DER certificate: 43 characters base64url (x5t#S256), 64 hex "
        "digits with or without colons, or a certificate file",
        action="certbound client cert list ID",
    )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
