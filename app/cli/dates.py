"""Moments as people read and write them. Everything is UTC or says its offset."""

from datetime import datetime

import typer

from app import clock


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


def until(seconds: int | None) -> str:
    """A date and how far it is: ``2026-11-22T13:50:00Z (in 6 days)``."""
    if seconds is None:
        return ""
    distance = seconds - clock.now()
    span = _span(abs(distance))
    return f"{clock.iso(seconds)} ({f'in {span}' if distance > 0 else f'{span} ago'})"


def _span(seconds: int) -> str:
    """To the nearest of a unit that fits at least twice: 90 days given a second ago are 90 days."""
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size - size // 24:
            return f"{(seconds + size // 2) // size} {unit}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
