"""Certificates in a file, taken apart without being judged: PEM (leaf first) or one DER."""

import base64
import binascii
import re
from pathlib import Path

from app.admin.files import read
from app.admin.problem import Problem

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s*(?P<body>[A-Za-z0-9+/=\s]+?)-----END (?P=label)-----"
)
_DER_SEQUENCE = 0x30
_MAX_CERTIFICATES = 100
"""More is a CA bundle, not what a client presents (a connection may carry 10)."""


def read_chain(path: Path) -> tuple[bytes, ...]:
    """The DER of each certificate in the file, in its order; the first is the leaf.

    The octets may be anything that base64 can spell: a malformed certificate is for the checks
    to refuse, in their words.

    Raises:
        Problem: no certificate, something else beside it (a private key above all), or a broken
            block.

    """
    data = read(path)
    if data[0] == _DER_SEQUENCE and b"-----BEGIN" not in data:
        return (data,)
    blocks = list(_BLOCK.finditer(data))
    _refuse_others(path, data, [block["label"].decode("ascii") for block in blocks])
    try:
        return tuple(base64.b64decode(b"".join(b["body"].split()), validate=True) for b in blocks)
    except binascii.Error as error:
        raise Problem(
            f"{path} holds a broken certificate",
            seen=f"a PEM block that is no base64: {error}",
            expected="BEGIN CERTIFICATE blocks as a CA or openssl writes them",
        ) from error


def _refuse_others(path: Path, data: bytes, labels: list[str]) -> None:
    if b"PRIVATE KEY-----" in data:
        raise Problem(
            f"{path} holds a private key",
            seen="a PRIVATE KEY block",
            expected="certificates only",
            action="Give the certificate file (such as bot.crt). The key stays with its client.",
        )
    others = sorted(set(labels) - {"CERTIFICATE"})
    if others or len(labels) != data.count(b"-----BEGIN "):
        raise Problem(
            f"{path} holds something that is no certificate",
            seen=", ".join(others) or "a truncated or malformed PEM block",
            expected="BEGIN CERTIFICATE blocks only",
        )
    if not labels or len(labels) > _MAX_CERTIFICATES:
        raise Problem(
            f"{path} holds no certificate" if not labels else f"{path} is a whole CA bundle",
            seen=f"{len(labels)} PEM blocks in {len(data)} octets",
            expected="a PEM or DER certificate, with its intermediates after it if any",
        )
