"""The workers of a server, as its operator sees them: by process id and by log line."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.kit.running import Running

PATIENCE = 60.0
"""Seconds that a loaded machine may take for what takes two on an idle one."""
_STARTED = re.compile(r"event=worker\.started number=(\d+) pid=(\d+)")
_ENDED = re.compile(r"event=worker\.ended number=(\d+) pid=(\d+)")
_READY = re.compile(r"event=worker\.ready number=(\d+) pid=(\d+)")


def workers(server: Running) -> dict[int, int]:
    """Process ids of the newest workers, by number, whatever became of them."""
    return {int(number): int(pid) for number, pid in _STARTED.findall(server.log)}


def ready(server: Running) -> list[int]:
    """Process ids of all workers that were ever ready, in order."""
    return [int(pid) for _, pid in _READY.findall(server.log)]


def ended(server: Running) -> list[int]:
    """Process ids of all workers whose end the supervisor has noticed, in order."""
    return [int(pid) for _, pid in _ENDED.findall(server.log)]


def processes(server: Running) -> list[int]:
    """Those that the server has: its workers, and the spare once there is one."""
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether there is such a process, other than as a body not yet carried away."""
    try:
        return " Z " not in f" {Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2]}"
    except OSError:
        return False


def eventually(what: Callable[[], object], said: Callable[[], object] = lambda: "") -> None:
    """Wait until it is so, `PATIENCE` at most."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def kill(server: Running, number: int, how: int) -> float:
    """End one worker, wait until another is ready in its place; the seconds that took."""
    pid, before = workers(server)[number], len(ready(server))
    began = time.monotonic()
    os.kill(pid, how)
    eventually(lambda: len(ready(server)) > before, lambda: server.log)
    return time.monotonic() - began
