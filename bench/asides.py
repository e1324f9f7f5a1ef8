"""The lines that are not a load on servers which already run."""

from collections.abc import Callable

from bench import floor, verification
from bench.lines import CERTBOUND, token
from bench.load import Load
from bench.machine import memory_mib
from bench.results import Figure, Loaded
from bench.run import Run
from bench.server import CannotStart


def _workers(run: Run) -> None:
    """One and two, on all cores, which they share with the load."""
    for count, words in ((1, "one worker"), (2, "two workers")):
        home = run.fresh(f"workers-{count}")
        load = Load(run.load.command, None, home.certs)
        try:
            with home.server(f"certbound, {words}", None, workers=count) as server:
                found = Loaded("workers", "token, new connection, all cores", server.name, [])
                for _ in range(run.plan.rounds):
                    found.rounds.append(run.once(token(mode="full"), server, load))
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
    """Bare work of Python and the libraries, on the server's core."""
    count = max(50, int(run.plan.seconds * 100))
    rounds = range(run.plan.rounds)
    turned = [floor.interpreting(count) for _ in rounds]
    title = "1,000 turns of plain Python"
    run.report.figures.append(Figure("floor", title, "floor", "CPU ms", turned))
    signed = [floor.signatures(count * 10) for _ in rounds]
    run.report.figures.append(Figure("floor", "bare ES256 signature", "floor", "CPU ms", signed))
    for client, title in (("ec", "P-256"), ("rsa", "RSA-2048")):
        shaken = [floor.handshakes(run.home.certs, client, count) for _ in rounds]
        for end, values in zip(
            ("server's end", "client's end"), zip(*shaken, strict=True), strict=True
        ):
            title_of = f"bare mutual handshake, {title}, {end}"
            run.report.figures.append(Figure("floor", title_of, "floor", "CPU ms", list(values)))


LINES: dict[str, Callable[[Run], None]] = {
    "workers": _workers,
    "start": _start_up,
    "memory": _memory,
    "verification": _verification,
    "floor": _floor,
}
