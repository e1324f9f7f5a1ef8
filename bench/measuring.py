"""All lines of a plan, measured round by round in turn."""

import sys
from contextlib import ExitStack

from bench import asides, peer
from bench.lines import CERTBOUND, EMPTY, LINES, POSTGRESQL, Line, asked_of, token
from bench.results import LIMPING, Loaded, Report
from bench.run import Plan, Run
from bench.server import Server, free_port
from tests.kit.postgres import PostgresServer

NAMES = tuple(line.name for line in LINES) + tuple(asides.LINES)


def measure(plan: Plan) -> Report:
    """All lines of the plan.

    Raises:
        CannotStart: a contender does not start.
        LoadFailed: one does not answer as it should.

    """
    with Run.prepared(plan) as run:
        lines = [line for line in LINES if plan.has(line.name) and _makes_sense(line, plan)]
        with ExitStack() as stack:
            contenders = _started(run, lines, stack)
            for line in lines:
                _under_load(run, line, contenders)
        for name, act in asides.LINES.items():
            if plan.has(name):
                run.say(name)
                act(run)
        _remarks(run.report)
        return run.report


def _makes_sense(line: Line, plan: Plan) -> bool:
    """The peer's way of saving handshakes is nothing to look at without the peer."""
    return line.name != "resume" or plan.with_peer


def _started(run: Run, lines: list[Line], stack: ExitStack) -> dict[str, Server]:
    """Everybody who is wanted, warm: what compiles while it runs has compiled."""
    wanted = {CERTBOUND, *(name for line in lines for name in line.beside)} if lines else set()
    core, certs = run.cores.server, run.home.certs
    servers: list[Server] = []
    if CERTBOUND in wanted:
        servers.append(run.home.server(CERTBOUND, core))
    if POSTGRESQL in wanted:
        # Beside the load, not on the server's core.
        database = stack.enter_context(PostgresServer().running())
        home = run.fresh("postgresql", database.url(database.create_database()))
        servers.append(home.server(POSTGRESQL, core))
    if EMPTY in wanted:
        port = free_port()
        command = [sys.executable, "-m", "bench.empty", str(port), str(certs)]
        servers.append(Server(EMPTY, command, port, certs, core))
    if peer.NAME in wanted and (other := run.peer()):
        servers.append(other)
    for server in servers:
        stack.enter_context(server)
        run.load.run(token(), server.port, server.pids, seconds=run.plan.warmup * 4, warmup=0)
    return {server.name: server for server in servers}


def _under_load(run: Run, line: Line, contenders: dict[str, Server]) -> None:
    """Round by round in turn: what a shared machine does meanwhile, it does to all of them."""
    run.say(line.title)
    names = [name for name in (CERTBOUND, *line.beside) if name in contenders]
    found = {name: Loaded(line.name, line.title, name, []) for name in names}
    for _ in range(run.plan.rounds):
        for name in names:
            server = contenders[name]
            found[name].rounds.append(run.once(asked_of(line, name, server), server))
    run.report.loaded += found.values()


def _remarks(report: Report) -> None:
    """What a reader has to know beside the figures."""
    if any(one.spread("busy").median < LIMPING for one in report.loaded):
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
