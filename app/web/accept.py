"""Content negotiation (RFC 9110 section 12.5.1): with one representation, or with two.

The most specific range that fits a representation decides about it. Parameters of a range other
than its quality do not count.
"""

import re
from collections.abc import Sequence

MAX_ACCEPT = 2000
"""Characters. A longer header is not read: it accepts everything and prefers nothing."""
_WORD = r"[a-z0-9!#$%&'*+.^_`|~-]+"
_RANGE = re.compile(f"{_WORD}/{_WORD}")
_PARAMETER = re.compile(f"{_WORD}={_WORD}")
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ZERO = re.compile(r"q\s*=\s*0(\.0{0,3})?")


def accepts(headers: Sequence[str], media_type: str) -> bool:
    """Whether these Accept headers leave room for `media_type`. Where there is none, they do.

    Quality 0 excludes.
    """
    text = ",".join(headers).lower()
    if not text.strip() or len(text) > MAX_ACCEPT:
        return True
    quality: dict[str, bool] = {}
    for part in text.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality[name] = not any(_ZERO.fullmatch(each) for each in parameters)
    return next((quality[name] for name in _ranges(media_type) if name in quality), False)


def _ranges(media_type: str) -> tuple[str, str, str]:
    """The ranges that fit, the most specific first."""
    return media_type, f"{media_type.partition('/')[0]}/*", "*/*"


def prefers(headers: Sequence[str], other: str, default: str) -> bool:
    """Whether these Accept headers rate `other` higher than `default`.

    One that cannot be read wholly rates nothing: doubt is no wish.
    """
    text = ",".join(headers).lower()
    if not text.strip() or len(text) > MAX_ACCEPT:
        return False
    rated: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        if quality is None or not _RANGE.fullmatch(name):
            return False
        rated[name] = quality
    first, second = (
        next((rated[name] for name in _ranges(each) if name in rated), 0.0)
        for each in (other, default)
    )
    return first > second


def _quality(parameters: Sequence[str]) -> float | None:
    """Of a range with these parameters; None where one cannot be read."""
    found = "1"
    for each in parameters:
        if not _PARAMETER.fullmatch(each):
            return None
        name, _, value = each.partition("=")
        if name == "q":
            found = value
    return float(found) if _QUALITY.fullmatch(found) else None
