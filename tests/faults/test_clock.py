"""The clock steps an hour ahead and back under load: tokens say the time that it is, chains hold.

By libfaketime below the whole process where it is installed (Debian: libfaketime), else by the
kit's shifted clock, which replaces the one place where time is read.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit import timing
from tests.kit import tokens as kit
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady

HOUR = 3600
BASE = 2 * HOUR
"""The server's clock is ahead from the first: an hour back, its certificates are valid still."""
NOISE = 30
"""Seconds that a loaded machine may be late."""
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DAY = "86400"
"""Seconds: no token runs out, and is purged, for a clock that is ahead."""

Step = Callable[[int], None]


@contextmanager
def _faked(home: Path) -> Iterator[tuple[Running, Step]]:
    file = home / "faketime"
    file.write_text("+0s")
    extra = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }

    def step(seconds: int) -> None:
        draft = file.with_name("draft")
        draft.write_text(f"{seconds:+}s")
        draft.replace(file)

    with running(home, quickstart=False, extra=extra, access_token_lifetime=DAY) as server:
        yield server, step


@contextmanager
def _shifted(home: Path) -> Iterator[tuple[Running, Step]]:
    file = home / "shift"
    file.write_text("0")

    def step(seconds: int) -> None:
        draft = file.with_name("draft")
        draft.write_text(str(seconds))
        draft.replace(file)

    with running(
        home,
        quickstart=False,
        program="tests.kit.shifted",
        extra={"CLOCK_SHIFT_FILE": str(file)},
        access_token_lifetime=DAY,
    ) as server:
        yield server, step


@pytest.mark.parametrize("how", ["libfaketime", "shifted"])
def test_an_hour_ahead_and_back(home: Path, how: str) -> None:
    """Both ways: no request fails, and each token begins at the time the clock says."""
    if how == "libfaketime" and LIBRARY is None:
        pytest.skip("libfaketime is not installed")
    certbound(home, "quickstart")
    with (_faked if how == "libfaketime" else _shifted)(home) as (server, step):
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
