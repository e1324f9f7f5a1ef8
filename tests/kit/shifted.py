"""certbound with a clock that a test moves: ``python -m tests.kit.shifted serve …``.

The file that ``CLOCK_SHIFT_FILE`` names holds the seconds by which this process is ahead.
`app.clock` is the only reader of wall-clock time, so it is the only thing replaced, before any
other room is imported. One thing else differs, so that tests which moved the clock need not wait:
background work looks every half second whether anything is due. It has the time of
`tests.kit.unhurried`.

Where ``FETCH_PATIENCE`` is given, a fetch may take so many seconds, and a login waits as long for
it: what is fetched comes from a test's own process, and after a failure nobody asks again until the
clock is moved.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from app import clock
from tests.kit import unhurried

LOOK = 0.5
"""Seconds between two looks."""


def main() -> int:
    """The command line, shifted."""
    source = Path(os.environ["CLOCK_SHIFT_FILE"])
    now, now_ms = clock.now, clock.now_ms

    def ahead() -> int:
        return int(source.read_text() or "0")

    clock.now = lambda: now() + ahead()
    clock.now_ms = lambda: now_ms() + ahead() * 1000
    from app import upkeep  # noqa: PLC0415 - after the clock was replaced
    from app.cli import main as command_line  # noqa: PLC0415 - the same

    for interval in ("FETCH_INTERVAL", "LOOK_INTERVAL"):
        setattr(upkeep, interval, LOOK)
    unhurried.give_time()
    if "FETCH_PATIENCE" in os.environ:
        _give_time(float(os.environ["FETCH_PATIENCE"]))
    return command_line() or 0


def _give_time(seconds: float) -> None:
    from app.clients import bundles  # noqa: PLC0415 - as above
    from app.jose import document, fetch  # noqa: PLC0415 - the same
    from app.pki import crl_fetch, ocsp_cache  # noqa: PLC0415 - the same

    for name in ("seconds", "connect_seconds"):  # it is a default argument already
        object.__setattr__(document.JSON_DOCUMENT, name, seconds)
    for room, name in (
        (bundles, "LIMITS"),
        (crl_fetch, "CRL_LIMITS"),
        (ocsp_cache, "OCSP_LIMITS"),
    ):
        limits = replace(getattr(room, name), seconds=seconds, connect_seconds=seconds)
        setattr(room, name, limits)
    fetch.WAIT_LIMIT = ocsp_cache.WAIT_LIMIT = seconds


if __name__ == "__main__":
    sys.exit(main())
