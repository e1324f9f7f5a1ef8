"""``scripts/bench``: one command, one table."""

import argparse
import json
import sys

from bench.load import LoadFailed
from bench.measuring import NAMES, measure
from bench.run import Plan
from bench.server import CannotStart

QUICK_TOKENS = 2_000
TOKENS = 20_000


def plan(arguments: list[str]) -> tuple[Plan, bool]:
    """What was asked for, and whether as JSON."""
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
    parser.add_argument("--json", action="store_true", help="the same figures for programs")
    asked = parser.parse_args(arguments)
    made = Plan(
        names=tuple(asked.only or NAMES),
        rounds=asked.rounds or (3 if asked.quick else 5),
        seconds=0.4 if asked.quick else 2.0,
        warmup=0.1 if asked.quick else 0.4,
        tokens=asked.tokens or (QUICK_TOKENS if asked.quick else TOKENS),
        with_peer=asked.peer,
    )
    return made, asked.json


def main() -> int:
    """Measure, and print."""
    wanted, as_json = plan(sys.argv[1:])
    try:
        report = measure(wanted)
    except (CannotStart, LoadFailed) as error:
        print(f"✘ {error}", file=sys.stderr)
        return 3
    print(json.dumps(report.as_json(), indent=1) if as_json else report.as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
