"""Cores, clocks and memory of processes on this machine. Linux only."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel's clock ids: nanoseconds; /proc counts in hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where servers and load run. None: wherever the kernel puts them."""

    server: int | None
    load: int | None

    @classmethod
    def here(cls) -> "Cores":
        """One core each, where there are two."""
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1]) if len(free) > 1 else cls(None, None)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on this core, and what it starts in turn."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> list[int]:
    """The process and all that it started which still run."""
    found = [pid]
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Processor time so far, of all threads that ever were."""
    return sum(time.clock_gettime((~pid << 3) | _PROCESS_CLOCK) for pid in pids)


def memory_mib(pids: list[int]) -> float:
    """Resident memory now. Pages that several processes share count for each."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * resource.getpagesize() / 2**20


class Bystanders:
    """What everybody else on this machine used, in cores, between two looks."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before = self._look()

    def cores(self) -> float:
        """Since it was made; rounding in /proc can make it slightly less than nothing."""
        (wall, busy, ours), (wall_now, busy_now, ours_now) = self._before, self._look()
        return ((busy_now - busy) - (ours_now - ours)) / (wall_now - wall)

    def _look(self) -> tuple[float, float, float]:
        fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        working = sum(fields[:3]) + sum(fields[5:8])  # all but idle and waiting for a disk
        busy = working / os.sysconf("SC_CLK_TCK")
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = cpu_seconds(self._pids) + time.process_time() + children.ru_utime + children.ru_stime
        return time.monotonic(), busy, ours


def described() -> dict[str, str]:
    """What a table of figures says of where they come from."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    facts = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }
    model = facts.get("model name", platform.machine())
    family = f"family {facts.get('cpu family', '?')}, model {facts.get('model', '?')}"
    return {
        "processor": f"{model} ({family}), {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        "commit": _commit(),
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(  # noqa: S603 - a constant
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
