"""A client certificate that a proxy saw, out of the header it wrote, decoded strictly.

Guarantees one DER-framed certificate, or None where the proxy says in one of its many ways that
there was none, or a refusal; never a guess. Guarantees nothing about *who* wrote the header: ask
that first (the proxy's own certificate), and refuse the header of anybody else.

``rfc9440``: ``Client-Cert: :base64 of DER:`` (RFC 9440 section 2). ``nginx``: the URL-encoded PEM of
``$ssl_client_escaped_cert``.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from app.errors import Finding, Reason, Refused

MAX_HEADER = 32 * 1024
"""Octets of one header, chain headers too: a certificate of 24 KiB."""
CHAIN = b"client-cert-chain"
"""RFC 9440 section 2.3. Its content is never used: only the leaf is an identity."""

_ABSENT: Final = frozenset({b"", b"(null)", b"::", b"NONE", b"-"})
_NOTHING: Final = frozenset(
    {
        hashlib.sha256(b"").hexdigest().encode(),
        hashlib.sha1(b"", usedforsecurity=False).hexdigest().encode(),
    }
)
"""Caddy without a client certificate sends the hash of nothing."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_SEQUENCE = 0x30


def rfc9440(values: Sequence[bytes]) -> bytes | None:
    """The DER in a ``Client-Cert`` header, given all its values as they came.

    Raises:
        Refused: with ``header_duplicate`` or ``header_malformed``.

    """
    value = _single(values)
    if value is None:
        return None
    if len(value) < 3 or value[:1] != b":" or value[-1:] != b":":  # noqa: PLR2004  # two colons and something
        raise _malformed("a value that is no byte sequence", ":base64: (RFC 8941 section 3.3.5)")
    return _der(value[1:-1])


def nginx(values: Sequence[bytes]) -> bytes | None:
    """The DER in a header that nginx filled with ``$ssl_client_escaped_cert``.

    Raises:
        Refused: with ``header_duplicate`` or ``header_malformed``.

    """
    value = _single(values)
    if value is None:
        return None
    return of_pem(unquote_to_bytes(value))  # a plus sign stands for itself here


def of_pem(pem: bytes) -> bytes | None:
    """The DER in the PEM of one certificate; None: its two lines around nothing.

    The size is the caller's to bound.

    Raises:
        Refused: with ``header_malformed``: two certificates, text around one, or none.

    """
    text = pem.rstrip()
    # Slices, not a regular expression: what anybody may send is read in one pass.
    inner = text.removeprefix(_BEGIN)
    if inner == text or not inner.endswith(_END):
        raise _malformed("no single PEM certificate", "the PEM of one certificate")
    content = b"".join(inner.removesuffix(_END).split())
    return _der(content) if content else None


Decode = Callable[[Sequence[bytes]], bytes | None]
FORMS: dict[str, tuple[bytes, Decode]] = {
    "rfc9440": (b"client-cert", rfc9440),
    "nginx": (b"x-client-cert", nginx),
}
"""How a proxy may hand on a certificate: the header, in lower case, and its decoder."""


def _single(values: Sequence[bytes]) -> bytes | None:
    if len(values) > 1:
        raise Refused(
            Finding(
                "certificate header",
                f"{len(values)} of them",
                "one",
                "Let the proxy replace the header, not add to it.",
                Reason.HEADER_DUPLICATE,
            )
        )
    value = values[0].strip(b" \t") if values else b""
    if len(value) > MAX_HEADER:
        raise _malformed(f"{len(value)} octets", f"at most {MAX_HEADER}")
    return None if value in _ABSENT or value.lower() in _NOTHING else value


def require_bounded(values: Sequence[bytes]) -> None:
    """Refuse a ``Client-Cert-Chain`` that is too large; otherwise it is ignored.

    Raises:
        Refused: with ``header_malformed``.

    """
    if (size := sum(map(len, values))) > MAX_HEADER:
        raise _malformed(f"a chain of {size} octets", f"at most {MAX_HEADER}")


def _der(text: bytes) -> bytes:
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if not der or base64.b64encode(der) != text:
        raise _malformed("content that is not standard base64", "the base64 of the DER")
    if not _is_one_sequence(der):
        raise _malformed("octets that are not one DER certificate", "the DER, complete and alone")
    return der


def _is_one_sequence(der: bytes) -> bool:
    """Whether the outermost DER element is a SEQUENCE that ends where the octets end."""
    if len(der) < 4 or der[0] != _SEQUENCE:  # noqa: PLR2004  # tag, length, and something in it
        return False
    first = der[1]
    if first < 0x80:  # noqa: PLR2004  # the short form of a length
        return len(der) == 2 + first
    count = first & 0x7F
    if count not in (1, 2, 3) or len(der) < 2 + count:
        return False
    length = int.from_bytes(der[2 : 2 + count], "big")
    return length >= 1 << (8 * (count - 1)) and length >= 0x80 and len(der) == 2 + count + length  # noqa: PLR2004  # the shortest form


def _malformed(seen: str, expected: str) -> Refused:
    return Refused(
        Finding(
            "certificate header",
            seen,
            expected,
            "Look at what the proxy writes into the header.",
            Reason.HEADER_MALFORMED,
        )
    )
