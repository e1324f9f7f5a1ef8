"""What is known of one certificate's revocation: three answers, in words for people."""

from dataclasses import dataclass
from typing import Literal

Standing = Literal["good", "revoked", "unknown"]


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of one certificate."""

    standing: Standing
    seen: str
    """From which source and of what age, or what is missing."""
    closed: bool = False
    """Unknown because something that was learned is not at hand yet: no policy lets that pass."""


def age_text(seconds: int) -> str:
    """An age in its largest unit: ``3 h``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
