"""The clock steps an hour ahead and back under load: tokens say the time that it is, chains hold.

By the kit's shifted clock, which replaces the one place where time is read. libfaketime 0.9.10 was
tried and does the same, but makes short sleeps of Python fail with EINVAL, which no clock does.
"""

import time
from pathlib import Path

from tests.kit import timing
from tests.kit import tokens as kit
from tests.kit.recorded import assert_recorded
from tests.kit.running import certbound, running
from tests.kit.steady import Steady

HOUR = 3600
BASE = 2 * HOUR
"""The server's clock is ahead from the first: an hour back, its certificates are valid still."""
NOISE = 30
"""Seconds that a loaded machine may be late."""
DAY = "86400"
"""Seconds: no token runs out, and is purged, for a clock that is ahead."""


def test_an_hour_ahead_and_back(home: Path) -> None:
    """Both ways: no request fails, and each token begins at the time the clock says."""
    certbound(home, "quickstart")
    file, draft = home / "shift", home / "draft"

    def step(seconds: int) -> None:
        draft.write_text(str(seconds))
        draft.replace(file)

    step(BASE)
    with running(
        home,
        quickstart=False,
        program="tests.kit.shifted",
        extra={"CLOCK_SHIFT_FILE": str(file)},
        access_token_lifetime=DAY,
    ) as server:
        load = Steady([server])
        with load.running():
            for ahead in (BASE, BASE + HOUR, BASE, BASE - HOUR, BASE):
                step(ahead)
                load.wait(20)
                begins = kit.read(load.received[-1])["iat"]
                assert abs(begins - time.time() - ahead) < NOISE
                assert timing.timed(server, "GET", "/readyz").status == 200
        assert (load.others, load.broken, load.refused) == ([], [], 0)
    assert_recorded(f"sqlite:///{home / 'certbound.db'}", load.received)
