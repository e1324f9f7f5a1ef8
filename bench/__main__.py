"""``scripts/bench``: one command, one table."""

import argparse
import json
import sys
from collections.abc import Callable

from bench.load import LoadFailed
from bench.measuring import NAMES, measure
from bench.results import Report
from bench.run import Plan
from bench.server import CannotStart

QUICK_TOKENS = 2_000
TOKENS = 20_000


def plan(arguments: list[str]) -> tuple[Plan, Callable[[Report], str]]:
    """What was asked for, and in which form."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures this checkout on this machine, some three minutes long. "
        "bench/README.md explains each line.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a glance: short rounds, coarse figures"
    )
    parser.add_argument(
        "--peer", action="store_true", help="node-oidc-provider beside it, installed from npm"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="LINE",
        help=f"one of {', '.join(NAMES)}; more than once for several",
    )
    parser.add_argument("--rounds", type=int, help="of which the medians are; default 5, quick 3")
    parser.add_argument("--tokens", type=int, help=f"for the memory; default {TOKENS:,}")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the same figures for programs")
    form.add_argument("--markdown", action="store_true", help="the same tables for a document")
    asked = parser.parse_args(arguments)
    made = Plan(
        names=tuple(asked.only or NAMES),
        rounds=asked.rounds or (3 if asked.quick else 5),
        seconds=0.4 if asked.quick else 2.0,
        warmup=0.1 if asked.quick else 0.4,
        tokens=asked.tokens or (QUICK_TOKENS if asked.quick else TOKENS),
        with_peer=asked.peer,
    )
    if asked.json:
        return made, lambda report: json.dumps(report.as_json(), indent=1)
    return made, Report.as_markdown if asked.markdown else Report.as_text


def main() -> int:
    """Measure, and print."""
    wanted, form = plan(sys.argv[1:])
    try:
        report = measure(wanted)
    except (CannotStart, LoadFailed) as error:
        print(f"✘ {error}", file=sys.stderr)
        return 3
    print(form(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
