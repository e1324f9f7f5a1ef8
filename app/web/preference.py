"""Which of two representations a request prefers (RFC 9110 section 12.5.1), the first by default."""

import re
from collections.abc import Sequence

MAX_ACCEPT = 2000
"""Characters. A longer header is not read: the default is given."""
_RANGE = re.compile(r"[a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+")
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def prefers(headers: Sequence[str], other: str, default: str) -> bool:
    """Whether these Accept headers rate `other` higher than `default`.

    The most specific range that fits a representation rates it; parameters other than the quality
    do not count. A header that cannot be read, or is too long, rates nothing.
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
    return _rating(rated, other) > _rating(rated, default)


def _quality(parameters: Sequence[str]) -> float | None:
    for each in parameters:
        if each.startswith("q="):
            found = _QUALITY.fullmatch(each)
            return float(found[1]) if found else None
    return 1.0


def _rating(rated: dict[str, float], media_type: str) -> float:
    wanted = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((rated[name] for name in wanted if name in rated), 0.0)
