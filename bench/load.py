"""The load: what is asked, and how fast it was answered.

The generator is `load.c`, compiled at first use, so that the load costs less than the server. Where
there is no compiler or OpenSSL has no headers, `slow_load.py` does the same in Python: it is then
the bottleneck, rates say nothing, and only processor time per answer compares.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench.machine import Bystanders, on_core

CACHE = Path(__file__).parents[1] / ".bench"
_SOURCE = Path(__file__).with_name("load.c")
_SLOW = Path(__file__).with_name("slow_load.py")

Mode = Literal["keep", "full", "resume"]

MOSTLY = 0.9
"""Part of the connections that must resume where that is what is measured."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request, as whom, on what kind of connection."""

    path: str
    expect: str
    """Stands in every good answer."""
    body: str | None = None
    credential: str = "ec"
    """The name of its certificate and key."""
    mode: Mode = "keep"
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Round:
    """One run. Latencies in ms, processor time in ms per answer, the rest in cores."""

    answers: int
    seconds: float
    rate: float
    p50: float
    p95: float
    p99: float
    cpu: float
    load_cpu: float
    busy: float
    """Of the server's core. Near 1: the server was the bottleneck."""
    load_busy: float
    failures: int
    full: int
    """Full handshakes."""
    resumed: int
    protocol: str
    cipher: str
    group: str
    others: float = 0
    """What others on this machine used meanwhile."""


class LoadFailed(Exception):
    """The server did not answer as it should."""


def generator() -> list[str]:
    """The command of the load generator, compiled where it was not yet."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    program = CACHE / f"load-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}"
    if compiler and not program.exists():
        CACHE.mkdir(exist_ok=True)
        made = program.with_suffix(f".{os.getpid()}")
        command = [compiler, "-O2", "-o", str(made), str(_SOURCE), "-lssl", "-lcrypto"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
        if done.returncode == 0:
            made.replace(program)
        else:
            print(f"load.c does not compile here: {done.stderr[:400]}", file=sys.stderr)
    return [str(program)] if program.exists() else [sys.executable, str(_SLOW)]


def is_slow(command: list[str]) -> bool:
    """Whether the generator is the one in Python."""
    return command[-1] == str(_SLOW)


@dataclass(frozen=True, slots=True)
class Load:
    """The generator on its core."""

    command: list[str]
    core: int | None
    certs: Path

    def run(
        self, ask: Ask, port: int, pids: list[int], *, seconds: float, warmup: float, most: int = 0
    ) -> Round:
        """Ask for so many seconds, or until `most` answers came.

        Raises:
            LoadFailed: not every answer was as expected.

        """
        options = {
            "port": port,
            "mode": ask.mode,
            "connections": ask.connections,
            "seconds": seconds,
            "warmup": warmup,
            "answers": most,
            "cert": self.certs / f"{ask.credential}.crt",
            "key": self.certs / f"{ask.credential}.key",
            "path": ask.path,
            "expect": ask.expect,
            "pids": ",".join(map(str, pids)),
            **({"body": ask.body} if ask.body is not None else {}),
        }
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        bystanders = Bystanders(pids)
        with on_core(self.core):
            done = subprocess.run(  # noqa: S603 - our own program
                [*self.command, *arguments],
                capture_output=True,
                text=True,
                timeout=seconds + warmup + 60,
                check=False,
            )
        others = bystanders.cores()
        if done.returncode != 0:
            raise LoadFailed(
                f"{asdict(ask)}: exit code {done.returncode}: {done.stderr[:2000]}{done.stdout}"
            )
        found = Round(**json.loads(done.stdout), others=others)
        if ask.mode == "resume" and found.resumed < found.answers * MOSTLY:
            raise LoadFailed(f"{asdict(ask)}: {found.full} handshakes were full ones")
        return found
