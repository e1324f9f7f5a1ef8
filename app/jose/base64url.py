"""base64url without padding (RFC 7515 section 2), one spelling per value."""

import binascii

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def encode(data: bytes) -> bytes:
    """The only spelling that `decode` accepts for `data`."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def decode(text: str | bytes) -> bytes:
    """The octets behind `text`.

    Refuses padding, white space, the ``+/`` alphabet and stray bits in the last character: with
    those, many spellings would stand for one signature or one key.

    Raises:
        ValueError: `text` is not what `encode` would have written.

    """
    raw = text.encode("ascii") if isinstance(text, str) else text
    data = binascii.a2b_base64(raw.translate(_FROM_URL) + b"=" * (-len(raw) % 4))
    if encode(data) != raw:
        raise ValueError("not canonical base64url")
    return data
