"""Content negotiation where there is one representation (RFC 9110 section 12.5.1)."""

import re
from collections.abc import Sequence

MAX_ACCEPT = 2000
"""Characters. A longer header is not read: it accepts everything."""
_ZERO = re.compile(r"q\s*=\s*0(\.0{0,3})?")


def accepts(headers: Sequence[str], media_type: str) -> bool:
    """Whether these Accept headers leave room for `media_type`. Where there is none, they do.

    The most specific range that fits decides; quality 0 excludes. Parameters of a range other than
    its quality do not count.
    """
    text = ",".join(headers).lower()
    if not text.strip() or len(text) > MAX_ACCEPT:
        return True
    wanted = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    quality: dict[str, bool] = {}
    for part in text.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality[name] = not any(_ZERO.fullmatch(each) for each in parameters)
    return next((quality[name] for name in wanted if name in quality), False)
