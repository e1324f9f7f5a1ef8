"""A server whose clock a test moves, and a web server beside it that it may fetch from."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import clock
from tests.kit import https
from tests.kit.https import HttpsServer
from tests.kit.running import Running, running

PATIENCE = 60.0
"""Seconds that background work may take on a machine that is busy."""


@dataclass
class Timed:
    """The server, the web server, and the hand on the server's clock."""

    server: Running
    web: HttpsServer
    shift: Path

    @property
    def now(self) -> int:
        """Seconds since the epoch, as the server sees it."""
        return clock.now() + int(self.shift.read_text())

    def pass_time(self, seconds: int) -> None:
        """Move the server's clock on, after work under way had a moment to note when it ended."""
        time.sleep(0.3)
        self.shift.write_text(str(int(self.shift.read_text()) + seconds))


@contextmanager
def timed(folder: Path, *, patient: bool = True) -> Iterator[Timed]:
    """Both in directories under `folder`; sources on this machine are allowed.

    `patient`: a fetch has all the time, so that a busy machine looks like no bad source.
    """
    shift, home, web_folder = folder / "shift", folder / "home", folder / "web"
    shift.write_text("0")
    home.mkdir()
    web_folder.mkdir()
    with (
        https.serving(web_folder) as web,
        running(
            home,
            program="tests.kit.shifted",
            extra={
                "CLOCK_SHIFT_FILE": str(shift),
                **({"FETCH_PATIENCE": str(PATIENCE)} if patient else {}),
            },
            trust_allow_private="true",
            trust_ca_file=str(web.ca_file),
        ) as server,
    ):
        yield Timed(server, web, shift)


def in_time(at: Timed, seconds: int, what: Callable[[], object]) -> None:
    """Wait until it is so, `PATIENCE` at most; the clock moves on by `seconds` after each look."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        at.pass_time(seconds)


def eventually(what: Callable[[], object]) -> None:
    """Wait until it is so, `PATIENCE` at most."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
