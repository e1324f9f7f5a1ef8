"""The scripts in `scripts/`: `serve` makes a home where there is none, says so, and nothing for --help.

Nothing is installed here: the scripts run in a copy of what they need of the checkout, whose
``.venv`` counts as installed and whose ``certbound`` is this one. A script that wanted to install
all the same would fail, for pip is told that there is no index.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree

import pytest

from tests.kit.running import clean_environment

ROOT = Path(__file__).parents[2]
SHELL = sorted(
    path
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and path.suffix != ".py" and b"python" not in path.read_bytes()[:30]
)
_PROGRAM = """#!{python}
import json, sys
sys.path.insert(0, {root!r})
from app.cli import main
if sys.argv[1] == "serve" and "--help" not in sys.argv:
    print("serves:", json.dumps(sys.argv[1:]))  # how a server starts is the business of others
    sys.exit(0)
sys.exit(main())
"""

_STAMP = """
source scripts/environment
echo "$(fingerprint requirements.lock pyproject.toml) $root" > .venv/.installed-requirements.lock
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy with an installed ``.venv``, and an empty directory to be in."""

    folder: Path
    here: Path

    def serve(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run ``scripts/serve`` in the empty directory."""
        return subprocess.run(
            [self.folder / "scripts" / "serve", *arguments],
            cwd=self.here,
            env={**clean_environment(), "PIP_NO_INDEX": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """As `scripts/serve` leaves a clone after its first run."""
    folder, here = tmp_path / "clone", tmp_path / "here"
    here.mkdir()
    copytree(ROOT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        copy(ROOT / name, folder)
    program = folder / ".venv" / "bin" / "certbound"
    program.parent.mkdir(parents=True)
    program.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT)))
    program.chmod(0o755)
    stamped = subprocess.run(["bash", "-ec", _STAMP], cwd=folder, check=False)
    assert stamped.returncode == 0
    return Checkout(folder, here)


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_a_script_is_bash(script: Path) -> None:
    """Each shell script can be read by bash to its end."""
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_makes_nothing(checkout: Checkout) -> None:
    """`--help` shows the options of `certbound serve` and leaves the directory empty."""
    done = checkout.serve("--help")
    assert done.returncode == 0, done.stderr
    assert "--access-token-lifetime" in done.stdout
    assert done.stderr == ""
    assert not list(checkout.here.iterdir())


def test_a_home_is_made_once_and_named_first(checkout: Checkout) -> None:
    """The first run says where it makes a home, then serves; the second only serves."""
    first = checkout.serve("--port", "7001")
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[0] == f"home: {checkout.here}"
    assert (checkout.here / "certbound.db").exists()
    assert (checkout.here / "certs" / "server.crt").exists()
    served = f"serves: {json.dumps(['serve', '--port', '7001'])}\n"
    assert first.stdout.endswith(served)
    second = checkout.serve("--port", "7001")
    assert (second.returncode, second.stdout, second.stderr) == (0, served, "")


@pytest.mark.parametrize("spelled", ["flag", "joined", "tilde", "environment"])
def test_the_home_that_was_named_is_the_one_made(checkout: Checkout, spelled: str) -> None:
    """However the home is given, that one is made, and nothing in the current directory."""
    chosen = checkout.here.parent / "chosen"
    chosen.mkdir()
    arguments, environment = {
        "flag": (("--home", "../chosen"), {}),
        "joined": ((f"--home={chosen}",), {}),
        "tilde": (("--home=~/chosen",), {"HOME": str(chosen.parent)}),
        "environment": ((), {"CERTBOUND_HOME": str(chosen)}),
    }[spelled]
    first = checkout.serve(*arguments, **environment)
    assert first.returncode == 0, first.stderr
    said = first.stderr.splitlines()[0].removeprefix("home: ")
    assert Path(said).resolve() == chosen
    assert (chosen / "certbound.db").exists()
    assert not list(checkout.here.iterdir())
    assert "home:" not in checkout.serve(*arguments, **environment).stderr
