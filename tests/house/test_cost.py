"""What a token costs may fall at any time, and rises only when somebody writes down that it shall."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.running import clean_environment

RECORDED = {
    (3, 11): {
        "request": {"python": 378, "builtin": 438},
        "journal": {"python": 141, "builtin": 82},
        "connection": {"python": 217, "builtin": 200},
    }
}
"""Calls of functions per token, by version of Python and kind of work; see `tests.kit.calls`. To
record anew: ``python -m tests.kit.calls``, and write here what it prints, rounded."""
MARGIN = 1.05
"""How much more is let pass: a call here and there is not worth a conversation."""
_HERE = sys.version_info[:2]


@pytest.mark.skipif(
    _HERE not in RECORDED, reason="no figures of this Python: python -m tests.kit.calls makes them"
)
def test_a_token_costs_no_more_calls_than_recorded() -> None:
    """Neither the request, nor its record, nor its connection calls more functions than written here."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kit.calls"],
        cwd=Path(__file__).parents[2],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    counted = json.loads(done.stdout)
    assert counted.keys() == RECORDED[_HERE].keys()
    dearer = [
        f"{part}: {calls:g} calls of {kind} functions per token, recorded are {recorded}"
        for part, kinds in RECORDED[_HERE].items()
        for kind, recorded in kinds.items()
        if (calls := counted[part][kind]) > recorded * MARGIN
    ]
    assert not dearer, (
        f"{dearer}: find what it buys with scripts/bench, or take it out. If it is worth it, "
        f"write into RECORDED what `python -m tests.kit.calls` prints: {done.stdout}"
    )
