"""Moments as people read and write them. Everything is UTC or says its offset."""

import re
from datetime import datetime

import typer

from app import clock

_PART = re.compile(r"([0-9]{1,6})([wdhms])")
_DURATION = re.compile(r"(?:[0-9]{1,6}[wdhms]){1,5}")
_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


def moment(text: str, option: str) -> int:
    """Seconds since the epoch of an RFC 3339 time.

    Raises:
        typer.BadParameter: it is none, or has no offset.

    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise typer.BadParameter(
            "must be a time with its offset, such as 2026-11-22T13:50:00Z", param_hint=option
        )
    return int(parsed.timestamp())


def duration(text: str, option: str) -> int:
    """Seconds of ``1w``, ``7d``, ``12h``, ``30m``, ``90s`` or several in a row, such as ``1d12h``.

    Raises:
        typer.BadParameter: it is none, or a number without a unit.

    """
    if _DURATION.fullmatch(text) is None:
        raise typer.BadParameter(
            "must be a duration with its unit, such as 1w, 7d, 12h, 30m or 1d12h", param_hint=option
        )
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def shortest(seconds: int) -> str:
    """The same number of seconds as `duration` reads it, in as few letters as may be."""
    text, left = "", seconds
    for unit in "dhms":
        count, left = divmod(left, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def until(seconds: int | None) -> str:
    """A date and how far it is: ``2026-11-22T13:50:00Z (in 6 days)``."""
    if seconds is None:
        return ""
    distance = seconds - clock.now()
    far = span(abs(distance))
    return f"{clock.iso(seconds)} ({f'in {far}' if distance > 0 else f'{far} ago'})"


def span(seconds: int) -> str:
    """To the nearest of a unit that fits at least twice: 90 days given a second ago are 90 days."""
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size - size // 24:
            return f"{(seconds + size // 2) // size} {unit}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
