"""`scripts/bench` measures what it says it measures; how fast anything is, no test says."""

import json
import shutil
import subprocess
import sys

import pytest

from bench import load
from bench.__main__ import plan
from bench.asides import LINES as ASIDES
from bench.house import Home
from bench.lines import LINES, token
from bench.load import Ask, Load, LoadFailed, Round
from bench.measuring import NAMES
from tests.kit.running import ROOT, clean_environment

README = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
SLOW = [sys.executable, str(ROOT / "bench" / "slow_load.py")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """What certbound is measured in."""
    made = Home(tmp_path_factory.mktemp("bench") / "home")
    made.make()
    return made


def _round(command: list[str], home: Home, ask: Ask) -> Round:
    with home.server("certbound", None) as server:
        loading = Load(command, None, home.certs)
        return loading.run(ask, server.port, server.pids, seconds=0.3, warmup=0.05)


@pytest.fixture(params=["compiled", "python"])
def generator(request: pytest.FixtureRequest) -> list[str]:
    """The command of each load generator."""
    command = load.generator() if request.param == "compiled" else SLOW
    if request.param == "compiled" and load.is_slow(command):
        pytest.skip("no C compiler, or no headers of OpenSSL")
    return command


@pytest.mark.parametrize("client", ["ec", "rsa-self"])
def test_every_token_over_a_new_connection_is_a_full_handshake(
    home: Home, generator: list[str], client: str
) -> None:
    """Either generator counts answers, their times and the server's processor time; none resumes."""
    found = _round(generator, home, token(client, mode="full", connections=2))
    assert found.answers > 0
    assert found.failures == 0
    assert found.resumed == 0
    assert abs(found.full - found.answers) <= 4  # two are on their way at either end
    assert 0 < found.p50 <= found.p95 <= found.p99
    assert found.cpu > 0
    assert found.protocol == "TLSv1.3"


def test_an_answer_that_is_none_is_no_figure(home: Home, generator: list[str]) -> None:
    """A server that refuses is fast, and measured by nobody."""
    stranger = Ask("/token", "access_token", "grant_type=client_credentials&client_id=rsa", "ec")
    with pytest.raises(LoadFailed, match="invalid_client"):
        _round(generator, home, stranger)


def test_one_command_prints_a_table_and_the_same_for_programs() -> None:
    """Both forms have the line that was asked for, its median between its least and its most."""
    asked = ["--quick", "--rounds", "2", "--only", "metadata", "--only", "floor"]
    shown = {}
    for form in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *asked, *form],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown[form] = done.stdout
    table, found = shown[()], json.loads(shown["--json",])
    assert "metadata" in table
    assert "bare ES256 signature" in table
    assert found["version"] == 1
    (line,) = found["lines"]
    assert (line["line"], line["contender"]) == ("metadata", "certbound")
    assert 0 < line["rate"]["min"] <= line["rate"]["median"] <= line["rate"]["max"]
    assert {one["line"] for one in found["figures"]} == {"floor"}


def test_every_line_is_explained() -> None:
    """`bench/README.md` has a row for each name that ``--only`` takes, and no row more."""
    rows = [row.split("|")[1].strip(" `") for row in README.splitlines() if row.startswith("| `")]
    assert sorted(rows) == sorted(NAMES) == sorted([one.name for one in LINES] + list(ASIDES))


def test_a_quick_run_has_every_line_too() -> None:
    """`--quick` measures shorter, not less."""
    quick, _ = plan(["--quick"])
    whole, _ = plan([])
    assert quick.names == whole.names == NAMES
    assert quick.seconds < whole.seconds


def test_what_is_downloaded_is_pinned_and_names_no_index() -> None:
    """Peer and Node come in fixed versions by hash, from whatever registry the machine uses."""
    peer = ROOT / "bench" / "peer"
    lock = json.loads((peer / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all(one["integrity"] and "resolved" not in one for one in packages.values())
    wanted = json.loads((peer / "package.json").read_text())["dependencies"]["oidc-provider"]
    assert packages["node_modules/oidc-provider"]["version"] == wanted
    pins = (peer / "node.lock").read_text()
    assert "==" in pins
    assert "--hash=sha256:" in pins
    assert "://" not in pins


@pytest.mark.skipif(not shutil.which("node"), reason="no Node here")
def test_the_peer_is_a_program() -> None:
    """Node can read the peer's server to its end."""
    done = subprocess.run(
        ["node", "--check", ROOT / "bench" / "peer" / "server.mjs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
