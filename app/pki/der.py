"""Strict DER, one element at a time: what the certificate parser does not hand out raw.

Guarantees: every length is definite, minimal and inside its parent; long-form tags, trailing bytes
and BER spellings raise ValueError. Not a certificate parser: `cryptography` remains that; this
reads only the outline of a certificate and the elements of a Name (X.690, RFC 5280 section 4.1).
"""

from functools import lru_cache
from typing import NamedTuple

INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8_STRING = 0x02, 0x03, 0x04, 0x06, 0x0C
SEQUENCE, SET = 0x30, 0x31
VERSION, EXTENSIONS = 0xA0, 0xA3  # [0] and [3] EXPLICIT, RFC 5280 section 4.1

_LONG_FORM_TAG = 0x1F
_CONSTRUCTED = 0x20
_LONG_LENGTH = 0x80
_MAX_LENGTH_OCTETS = 3  # 16 MiB: far above every size cap of this server


class Element(NamedTuple):
    """One tag-length-value."""

    tag: int
    content: bytes
    encoded: bytes


def elements(data: bytes) -> list[Element]:
    """All elements of `data`, which must hold nothing else. Raises ValueError."""
    found = []
    position = 0
    while position < len(data):
        element, position = _next(data, position)
        found.append(element)
    return found


def single(data: bytes) -> Element:
    """The one element that `data` is. Raises ValueError when bytes follow it."""
    element, end = _next(data, 0)
    if end != len(data):
        raise ValueError("trailing bytes after the DER element")
    return element


def inside(element: Element, tag: int) -> list[Element]:
    """The elements inside `element`, which must bear `tag`. Raises ValueError."""
    if element.tag != tag:
        raise ValueError(f"DER tag {element.tag:#04x} where {tag:#04x} belongs")
    return elements(element.content)


def count(data: bytes, most: int) -> int:
    """How many elements are nested in `data` at all depths. Raises ValueError beyond `most`.

    Reads headers only, a fifth of a microsecond each: a bound on what a parser would have to do.
    What primitive elements hold, an OCTET STRING for one, is not looked into.
    """
    found, position, ends = 0, 0, [len(data)]
    while ends:
        if position == ends[-1]:
            ends.pop()
            continue
        found += 1
        if found > most:
            raise ValueError(f"more than {most} DER elements")
        tag, position, end = _header(data, position)
        if end > ends[-1]:
            raise ValueError("DER element longer than its parent")
        if tag & _CONSTRUCTED:
            ends.append(end)
        else:
            position = end
    return found


def encode(tag: int, content: bytes) -> bytes:
    """The DER of one element."""
    size = len(content)
    if size < _LONG_LENGTH:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_LENGTH | len(length))) + length + content


@lru_cache(maxsize=512)  # the same few dozen types in every certificate
def oid_text(content: bytes) -> str:
    """Dotted form of an OBJECT IDENTIFIER's content octets. Raises ValueError."""
    if not content or content[-1] & 0x80:
        raise ValueError("unfinished object identifier")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:  # noqa: PLR2004 - X.690 8.19.2: no padded arc
            raise ValueError("padded arc in an object identifier")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


@lru_cache(maxsize=512)
def oid_content(dotted: str) -> bytes:
    """Content octets of a dotted object identifier. Raises ValueError."""
    arcs = [int(arc) for arc in dotted.split(".")]
    if len(arcs) < 2 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):  # noqa: PLR2004 - X.660: three roots, 40 arcs
        raise ValueError(f"{dotted} is not an object identifier")
    encoded = b""
    for arc in (40 * arcs[0] + arcs[1], *arcs[2:]):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(octets))
    return encoded


def _next(data: bytes, start: int) -> tuple[Element, int]:
    tag, position, end = _header(data, start)
    if end > len(data):
        raise ValueError("DER element longer than its parent")
    return Element(tag, data[position:end], data[start:end]), end


def _header(data: bytes, start: int) -> tuple[int, int, int]:
    """Tag, where the content begins and where it says that it ends."""
    if start + 2 > len(data):
        raise ValueError("truncated DER element")
    tag, size, position = data[start], data[start + 1], start + 2
    if tag & _LONG_FORM_TAG == _LONG_FORM_TAG:
        raise ValueError("long-form DER tag")
    if size >= _LONG_LENGTH:
        octets = size - _LONG_LENGTH
        if not 1 <= octets <= _MAX_LENGTH_OCTETS or position + octets > len(data):
            raise ValueError("indefinite, oversized or truncated DER length")
        size = int.from_bytes(data[position : position + octets], "big")
        if size < _LONG_LENGTH or size >> 8 * (octets - 1) == 0:
            raise ValueError("DER length not minimal")
        position += octets
    return tag, position, position + size
