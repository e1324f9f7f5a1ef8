"""The command line for tests: as a process of its own, or called here where speed counts."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from app.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The object on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The ``error`` member of the object on standard error."""
        members = json.loads(self.err)
        assert members["version"] == 1
        return members["error"]


def run(
    home: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Outcome:
    """``certbound ARGUMENTS`` as a process whose current directory is `home`."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=home,
        input=stdin,
        capture_output=True,
        env={**clean(), "PYTHONPATH": str(ROOT), **(environment or {})},
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def call(home: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Outcome:
    """The same inside this process, on `home` by ``--home``."""
    out, err = io.StringIO(), io.StringIO()
    words = [*arguments, "--home", str(home)]
    with (
        mock.patch.object(sys, "argv", ["certbound"]),
        mock.patch.dict(os.environ, {**clean(), **(environment or {})}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    return Outcome(code, out.getvalue(), err.getvalue())


def done(home: Path, *arguments: str) -> Any:
    """`call` with ``--json``, which must succeed; what it printed."""
    outcome = call(home, *arguments, "--json")
    assert outcome.code == 0, outcome
    return outcome.json


def refused(home: Path, *arguments: str, code: int = 1) -> Any:
    """`call` with ``--json``, which must fail with this exit code; its error."""
    outcome = call(home, *arguments, "--json")
    assert outcome.code == code, outcome
    assert outcome.out == ""
    return outcome.error


def clean() -> dict[str, str]:
    """The environment without settings that would leak into a test."""
    return {k: v for k, v in os.environ.items() if not k.startswith("CERTBOUND_")}


def copy_of(home: Path, target: Path) -> Path:
    """A home of the test's own."""
    shutil.copytree(home, target)
    return target
