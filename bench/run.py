"""One run: contenders started, lines measured round by round in turn, everything ended."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench import floor, peer, verification
from bench.house import Home
from bench.lines import CERTBOUND, EMPTY, LINES, POSTGRESQL, Line, asked_of, token
from bench.load import CACHE, Load, generator, is_slow
from bench.machine import Cores, described, memory_mib
from bench.results import Figure, Loaded, Report
from bench.server import CannotStart, Server, free_port
from tests.kit.postgres import PostgresServer

OTHERS = ("workers", "start", "memory", "verification", "floor")
"""Lines that are not a load on what already runs."""
NAMES = tuple(line.name for line in LINES) + OTHERS


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
    contenders: dict[str, Server] = field(default_factory=dict)

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

    def say(self, what: str) -> None:
        """Progress, for whoever waits."""
        print(what, file=sys.stderr, flush=True)


def measure(plan: Plan) -> Report:
    """All lines of the plan.

    Raises:
        CannotStart: a contender does not start.
        LoadFailed: one does not answer as it should.

    """
    with Run.prepared(plan) as run:
        lines = [line for line in LINES if plan.has(line.name) and _makes_sense(line, plan)]
        with ExitStack() as stack:
            _start(run, lines, stack)
            for line in lines:
                _under_load(run, line)
        for name, act in (
            ("workers", _workers),
            ("start", _start_up),
            ("memory", _memory),
            ("verification", _verification),
            ("floor", _floor),
        ):
            if plan.has(name):
                run.say(name)
                act(run)
        _remarks(run.report)
        return run.report


def _makes_sense(line: Line, plan: Plan) -> bool:
    """The peer's way of saving handshakes is nothing to look at without the peer."""
    return line.name != "resume" or plan.with_peer


def _start(run: Run, lines: list[Line], stack: ExitStack) -> None:
    """Everybody who is wanted, warm: what compiles while it runs has compiled."""
    wanted = {CERTBOUND, *(name for line in lines for name in line.beside)} if lines else set()
    core, certs = run.cores.server, run.home.certs
    servers: list[Server] = []
    if CERTBOUND in wanted:
        servers.append(run.home.server(CERTBOUND, core))
    if POSTGRESQL in wanted:
        database = PostgresServer()
        stack.callback(database.stop)
        database.start()  # beside the load, not on the server's core
        home = run.fresh("postgresql", database.url(database.create_database()))
        servers.append(home.server(POSTGRESQL, core))
    if EMPTY in wanted:
        port = free_port()
        command = [sys.executable, "-m", "bench.empty", str(port), str(certs)]
        servers.append(Server(EMPTY, command, port, certs, core))
    if peer.NAME in wanted and (other := run.peer()):
        servers.append(other)
    for server in servers:
        run.contenders[server.name] = stack.enter_context(server)
        run.load.run(token(), server.port, server.pids, seconds=run.plan.warmup * 4, warmup=0)


def _under_load(run: Run, line: Line) -> None:
    """Round by round in turn: what a shared machine does meanwhile, it does to all of them."""
    run.say(line.title)
    names = [name for name in (CERTBOUND, *line.beside) if name in run.contenders]
    found = {name: Loaded(line.name, line.title, name, []) for name in names}
    for _ in range(run.plan.rounds):
        for name in names:
            server = run.contenders[name]
            ask = asked_of(line, name, server)
            found[name].rounds.append(
                run.load.run(
                    ask,
                    server.port,
                    server.pids,
                    seconds=run.plan.seconds,
                    warmup=run.plan.warmup,
                )
            )
    run.report.loaded += found.values()


def _workers(run: Run) -> None:
    """One and two, on all cores, which they share with the load."""
    for count, words in ((1, "one worker"), (2, "two workers")):
        home = run.fresh(f"workers-{count}")
        load = Load(run.load.command, None, home.certs)
        try:
            with home.server(f"certbound, {words}", None, workers=count) as server:
                found = Loaded("workers", "token, new connection, all cores", server.name, [])
                for _ in range(run.plan.rounds):
                    found.rounds.append(
                        load.run(
                            token(mode="full"),
                            server.port,
                            server.pids,
                            seconds=run.plan.seconds,
                            warmup=run.plan.warmup,
                        )
                    )
        except CannotStart:
            run.report.notes.append(f"{words}: this version does not start with so many.")
        else:
            run.report.loaded.append(found)


def _start_up(run: Run) -> None:
    home = run.fresh("start")
    found: dict[str, list[float]] = {}
    for _ in range(run.plan.rounds):
        for server in (home.server(CERTBOUND, run.cores.server), run.peer()):
            if server is not None:
                found.setdefault(server.name, []).append(server.start(token()))
                server.stop()
    for name, values in found.items():
        run.report.figures.append(Figure("start", "start to first token", name, "s", values))


def _memory(run: Run) -> None:
    """After the start, after a tenth of the tokens and after all: flat is when nothing grows."""
    tenth = max(run.plan.tokens // 10, 1)
    for made in (run.fresh("memory").server(CERTBOUND, run.cores.server), run.peer()):
        if made is None:
            continue
        with made as server:
            looks = {"after start": memory_mib(server.pids)}
            for so_far, more in ((tenth, tenth), (run.plan.tokens, run.plan.tokens - tenth)):
                run.load.run(
                    token(), server.port, server.pids, seconds=more / 50, warmup=0, most=more
                )
                looks[f"after {so_far:,} tokens"] = memory_mib(server.pids)
        for when, value in looks.items():
            run.report.figures.append(Figure("memory", f"memory {when}", made.name, "MiB", [value]))


def _verification(run: Run) -> None:
    for name, costs in verification.measured(("ES256",)):
        low, high = len(costs) // 10, len(costs) - len(costs) // 10
        run.report.figures.append(
            Figure(
                "verification",
                f"resource kit, {name}",
                CERTBOUND,
                "CPU ms",
                [one / 1000 for one in costs[low:high]],
            )
        )


def _floor(run: Run) -> None:
    """Bare work of the libraries, on the server's core."""
    count = max(50, int(run.plan.seconds * 100))
    rounds = range(run.plan.rounds)
    signed = [floor.signatures(count * 10) for _ in rounds]
    run.report.figures.append(Figure("floor", "bare ES256 signature", "floor", "CPU ms", signed))
    for client, title in (("ec", "P-256"), ("rsa", "RSA-2048")):
        shaken = [floor.handshakes(run.home.certs, client, count) for _ in rounds]
        for end, values in zip(
            ("server's end", "client's end"), zip(*shaken, strict=True), strict=True
        ):
            title_of = f"bare mutual handshake, {title}, {end}"
            run.report.figures.append(Figure("floor", title_of, "floor", "CPU ms", list(values)))


def _remarks(report: Report) -> None:
    """What a reader has to know beside the figures."""
    if any(one.spread("busy").median < 0.9 for one in report.loaded):  # noqa: PLR2004 - LIMPING
        report.notes.append(
            "* the load, or waiting for a disk, was the bottleneck: compare CPU ms, not rates."
        )
    others = [one.others for each in report.loaded for one in each.rounds]
    if others:
        report.notes.append(
            f"others on this machine used {sum(others) / len(others):.2f} cores meanwhile, "
            f"at most {max(others):.2f}."
        )
    if any(one.contender == peer.NAME for one in report.loaded):
        report.notes.append(
            "the peer keeps no durable record of what it issues, writes no audit, checks no "
            "revocation, and leaves chains to its TLS library; certbound does all of that in the "
            "measured request."
        )
