"""The clock steps an hour ahead and back under load: tokens say the time that it is, chains hold.

Once by the kit's shifted clock, which replaces the one place where certbound reads the time, and
once by libfaketime, which replaces it for every library too (Debian: ``apt-get install libfaketime``).
"""

import time
from collections.abc import Iterator
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
DAY = "86400"
"""Seconds: no token runs out, and is purged, for a clock that is ahead."""
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@contextmanager
def stepping(home: Path, how: str) -> Iterator[tuple[Running, Path]]:
    """A server, and the file with the seconds that it is ahead."""
    file = home / "shift"
    file.write_text(_said(how, BASE))
    extra = {"CLOCK_SHIFT_FILE": str(file)}
    if how == "faked":
        if not LIBRARIES:
            pytest.skip("libfaketime is not here: apt-get install libfaketime")
        extra = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    with running(
        home,
        quickstart=False,
        program=f"tests.kit.{how}",
        extra=extra,
        access_token_lifetime=DAY,
    ) as server:
        yield server, file


def _said(how: str, seconds: int) -> str:
    return f"{seconds:+}s" if how == "faked" else str(seconds)


@pytest.mark.parametrize("how", ["shifted", "faked"])
def test_an_hour_ahead_and_back(home: Path, how: str) -> None:
    """Both ways: no request fails, and each token begins at the time the clock says.

    Under libfaketime a 503 may be among the answers: it makes this server thirty times slower, and
    has it answer one now and then on a busy machine without any step (measured, 40 seconds: 1,659
    tokens and a 503; with the kit's clock 52,336 and none).
    """
    certbound(home, "quickstart")
    draft = home / "draft"
    with stepping(home, how) as (server, file):
        load = Steady([server])
        with load.running():
            for ahead in (BASE, BASE + HOUR, BASE, BASE - HOUR, BASE):
                draft.write_text(_said(how, ahead))
                draft.replace(file)
                load.wait(20)
                begins = kit.read(load.received[-1])["iat"]
                assert abs(begins - time.time() - ahead) < NOISE
                assert timing.timed(server, "GET", "/readyz").status == 200
        borne = {(503, "2")} if how == "faked" else set()
        assert (set(load.others) - borne, load.broken, load.refused) == (set(), [], 0)
    assert_recorded(f"sqlite:///{home / 'certbound.db'}", load.received)
