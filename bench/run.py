"""What a run has at hand: its plan, its homes, the load, the peer; and what is gone after it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench import peer
from bench.house import Home
from bench.load import CACHE, Ask, Load, Round, generator, is_slow
from bench.machine import Cores, described
from bench.results import Report
from bench.server import Server


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it."""

    names: tuple[str, ...]
    rounds: int
    seconds: float
    warmup: float
    tokens: int
    """Between the first look at the memory and the last."""
    with_peer: bool

    def has(self, *names: str) -> bool:
        """Whether one of these lines is wanted."""
        return any(name in self.names for name in names)


@dataclass
class Run:
    """What a run has at hand."""

    plan: Plan
    folder: Path
    cores: Cores
    load: Load
    home: Home
    report: Report
    node: str | None = None

    @classmethod
    @contextmanager
    def prepared(cls, plan: Plan) -> Iterator[Self]:
        """Homes, generator and, where wanted, the peer; a folder that goes with the run.

        Raises:
            CannotStart: the peer cannot be installed.

        """
        CACHE.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # a real disk, to commit to
        try:
            home = Home(folder / "sqlite")
            home.make()
            cores, command = Cores.here(), generator()
            run = cls(plan, folder, cores, Load(command, cores.load, home.certs), home, Report({}))
            about = described() | {
                "cores": "one for the server, one for the load"
                if cores.server is not None
                else "one for all: rates say little",
                "rounds": f"{plan.rounds} of {plan.seconds:g} s, contenders in turn",
            }
            if plan.with_peer:
                run.node, about["peer"] = peer.install()
            run.report.about = about
            if is_slow(command):
                run.report.notes.append(
                    "no C compiler or OpenSSL headers: the load is a Python program, which is the "
                    "bottleneck. Only CPU ms compare (Debian: apt-get install gcc libssl-dev)."
                )
            yield run
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fresh(self, name: str, url: str | None = None) -> Home:
        """Another home with the same certificates, and a database of its own."""
        home = Home(self.folder / name, url)
        shutil.copytree(self.home.certs, home.certs)
        home.make()
        return home

    def peer(self) -> Server | None:
        """A peer that does not run yet, where one is wanted."""
        if self.node is None:
            return None
        return peer.server(self.node, self.folder, self.home.certs, self.cores.server)

    def once(self, ask: Ask, server: Server, load: Load | None = None) -> Round:
        """One round of this on one server."""
        plan = self.plan
        return (load or self.load).run(
            ask, server.port, server.pids, seconds=plan.seconds, warmup=plan.warmup
        )

    def say(self, what: str) -> None:
        """Progress, for whoever waits."""
        print(what, file=sys.stderr, flush=True)
