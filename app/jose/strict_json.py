"""JSON from strangers, with one meaning only (RFC 8259, RFC 7515 section 4).

The standard parser guesses encodings, keeps the last of two equal members, and accepts NaN and
numbers too large for a float. Two readers may then disagree about the same document; here such a
document is refused.
"""

import json
import math
from typing import Any, NoReturn

Members = dict[str, Any]

MAX_DIGITS = 20
"""Of one integer; a date in seconds has ten, a 64-bit number twenty."""
MAX_OPENINGS = 500
"""Of ``[`` and ``{`` together: bounds the nesting alike on every Python version. A set of 20 keys
has about 60."""


def parse_object(data: bytes, *, at_most: int) -> Members:
    """The object in `data`: UTF-8, at most `at_most` octets, no member twice, finite numbers.

    Raises:
        ValueError: with what is wrong, never quoting more than a member's name.

    """
    if len(data) > at_most:
        raise ValueError(f"is larger than {at_most} octets")
    if data.count(b"[") + data.count(b"{") > MAX_OPENINGS:
        raise ValueError("is nested too deeply or has too many parts")
    try:
        text = data.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:  # the only way a lone surrogate gets past the UTF-8 decoder
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ValueError("is not valid UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:  # the caller's own stack was deep
        raise ValueError("is nested too deeply or has too many parts") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004  # callers expect one kind of error
    return value


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the member {twice[:40]!a} twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"has the number {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("has a number that is too large")
    return number


def _short(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("has a number that is too large")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite, parse_int=_short
)
