"""Strict DER by position, copying nothing: for documents of tens of megabytes (X.690).

Guarantees as `app.pki.der`: definite, minimal lengths inside their parent, no long-form tags; else
ValueError. Only says where elements lie; what is inside is for the caller to take.
"""

from collections.abc import Iterator
from typing import NamedTuple

from app.pki.der import SEQUENCE

_LONG_FORM_TAG = 0x1F
_LONG_LENGTH = 0x80
_MAX_LENGTH_OCTETS = 4


class Span(NamedTuple):
    """One element: its tag, and where it starts, where its content starts, and where both end."""

    tag: int
    start: int
    content: int
    end: int


def span(data: bytes, start: int, end: int) -> Span:
    """The element that begins at `start`; it ends at `end` or before."""
    if start + 2 > end:
        raise ValueError("truncated DER element")
    tag, size, content = data[start], data[start + 1], start + 2
    if tag & _LONG_FORM_TAG == _LONG_FORM_TAG:
        raise ValueError("long-form DER tag")
    if size >= _LONG_LENGTH:
        octets = size - _LONG_LENGTH
        if not 1 <= octets <= _MAX_LENGTH_OCTETS or content + octets > end:
            raise ValueError("indefinite, oversized or truncated DER length")
        size = int.from_bytes(data[content : content + octets], "big")
        if size < _LONG_LENGTH or size >> 8 * (octets - 1) == 0:
            raise ValueError("DER length not minimal")
        content += octets
    if content + size > end:
        raise ValueError("DER element longer than its parent")
    return Span(tag, start, content, content + size)


def sequence(data: bytes, start: int, end: int) -> Span:
    """The SEQUENCE that begins at `start`."""
    found = span(data, start, end)
    if found.tag != SEQUENCE:
        raise ValueError(f"DER tag {found.tag:#04x} where a SEQUENCE belongs")
    return found


def inside(data: bytes, parent: Span) -> Iterator[Span]:
    """The elements inside `parent`, one after the other."""
    position = parent.content
    while position < parent.end:
        found = span(data, position, parent.end)
        yield found
        position = found.end
