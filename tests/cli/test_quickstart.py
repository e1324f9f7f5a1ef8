"""The first command a newcomer types."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.cli import build
from app.config import load
from tests.kit.certs import issue
from tests.kit.command import ROOT, call, clean, copy_of, done, refused, run

MADE = ("ca", "server", "bot")


def _contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "certs").iterdir()}


def test_makes_a_home_from_nothing(tmp_path: Path) -> None:
    """One command fills an empty directory with everything a server and a client need."""
    outcome = run(tmp_path, "quickstart")
    assert outcome.code == 0, outcome
    for name in MADE:
        assert (tmp_path / "certs" / f"{name}.crt").is_file()
    assert (tmp_path / "certbound.db").is_file()
    assert "DEV" in outcome.out
    assert "never" in outcome.out


def test_private_files_are_private(home: Path) -> None:
    """Every key and the database can be read by their owner alone."""
    private = [home / "certs" / f"{name}.key" for name in (*MADE, "sealing")]
    for path in (*private, home / "certbound.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_second_run_changes_nothing(home: Path) -> None:
    """What exists is kept, byte for byte, and said to be kept."""
    before = _contents(home)
    entries = len(done(home, "audit", "tail", "-n", "100")["entries"])
    parts = done(home, "quickstart")["parts"]
    assert not any(part["made"] for part in parts)
    assert _contents(home) == before
    assert len(done(home, "audit", "tail", "-n", "100")["entries"]) == entries


def test_fills_in_what_is_missing(home: Path) -> None:
    """A removed client certificate is made anew, and the client is still recognised by it."""
    for suffix in ("crt", "key"):
        (home / "certs" / f"bot.{suffix}").unlink()
    made = [part["name"] for part in done(home, "quickstart")["parts"] if part["made"]]
    assert made == ["client certificate"]
    assert call(home, "doctor", "cert", str(home / "certs" / "bot.crt")).code == 0


def test_an_expired_certificate_is_kept_and_named(home: Path) -> None:
    """Nothing is replaced behind the user's back; the commands that renew are printed."""
    issue(home / "certs", "server", None, server=True, days=-1)
    (home / "certs" / "server.pem").rename(home / "certs" / "server.crt")
    outcome = call(home, "quickstart")
    assert outcome.code == 1
    assert "✘ server certificate" in outcome.out
    assert "expired at" in outcome.out
    assert "rm -- " in outcome.out


def test_printed_commands_can_be_pasted(home_template: Path) -> None:
    """Each printed command splits into words that name existing files, relative to here."""
    outcome = run(home_template, "quickstart", "--json")
    commands = json.loads(outcome.out)["commands"]
    curl = shlex.split(commands["token"])
    assert curl[0] == "curl"
    for option in ("--cacert", "--cert", "--key"):
        path = curl[curl.index(option) + 1]
        assert not path.startswith("/")
        assert (home_template / path).is_file()
    settings = load(home_template, environ={}).settings
    assert curl[-1] == f"{settings.mtls_base_url}/token"
    for name in ("serve", "inspect"):
        words = shlex.split(commands[name])
        assert words[1:3] == ["-m", "app"]
        known = {group.name for group in build().registered_groups}
        assert words[3] in known | {"serve"}


def test_the_client_would_get_a_token(home: Path) -> None:
    """What quickstart registers passes the token endpoint's own checks, scope included."""
    answer = done(home, "doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot")
    assert answer["answer"] == {"status": 200, "error": None, "reason": None}
    assert "api:read" in answer["findings"][-1]["seen"]


def test_server_certificate_names_the_issuer(tmp_path: Path) -> None:
    """With another issuer configured, the server certificate is good for its host too."""
    environment = {"CERTBOUND_ISSUER": "https://as.example:8443"}
    assert call(tmp_path, "quickstart", environment=environment).code == 0
    seen = call(tmp_path, "config", "check", environment=environment).out
    assert "DNS:localhost" in seen
    assert "DNS:as.example" in seen


@pytest.mark.parametrize(
    ("issuer", "mtls", "told"),
    [
        ("https://as.example", "", "the issuer's host as.example is missing"),
        ("https://as.example", "", "! mtls_base_url: mtls_base_url is still https://localhost:"),
        ("https://localhost", "https://10.0.0.1", "mtls_base_url's host 10.0.0.1 is missing"),
    ],
)
def test_check_compares_names(home: Path, issuer: str, mtls: str, told: str) -> None:
    """A certificate without the host that clients will ask for is found before they ask."""
    environment = {
        "CERTBOUND_ISSUER": issuer,
        **({"CERTBOUND_MTLS_BASE_URL": mtls} if mtls else {}),
    }
    outcome = call(home, "config", "check", environment=environment)
    assert outcome.code == 1
    assert told in outcome.out
    paste = next(line for line in outcome.out.splitlines() if " && " in line)
    words = shlex.split(paste.partition("rm -- ")[2].partition(" && ")[0])
    assert [Path(word).name for word in words] == ["server.crt", "server.key"]
    for word in words:
        Path(word).unlink()
    assert call(home, "quickstart", environment=environment).code == 0
    assert call(home, "config", "check", environment=environment).code == 0


def test_refuses_a_home_it_cannot_write(tmp_path: Path) -> None:
    """A file where the home should be is an environment problem with a sentence."""
    (tmp_path / "file").write_text("")
    outcome = call(tmp_path / "file", "quickstart")
    assert outcome.code == 3
    assert "cannot be written" in outcome.err
    assert "Traceback" not in outcome.err


def test_either_database(empty_url: str, tmp_path: Path) -> None:
    """SQLite or PostgreSQL by setting alone: quickstart, check and doctor work on both."""
    environment = {"CERTBOUND_DATABASE_URL": empty_url}
    for _ in range(2):
        assert call(tmp_path, "quickstart", environment=environment).code == 0
    assert call(tmp_path, "config", "check", environment=environment).code == 0
    cert = str(tmp_path / "certs/bot.crt")
    assert call(tmp_path, "doctor", "cert", cert, environment=environment).code == 0


def test_never_a_second_sealing_key(home: Path) -> None:
    """Where signing keys are sealed, a lost sealing key is not replaced: a new one opens nothing."""
    key = home / "certs/sealing.key"
    text = key.read_text()
    for broken in (None, "junk\n", f"{'A' * 43}\n"):
        key.unlink()
        if broken is not None:
            key.touch(mode=0o600)
            key.write_text(broken)
        for command in (("quickstart",), ("serve",), ("key", "rotate", "--force")):
            error = refused(home, *command, code=3)
            assert error["do_this"].startswith(f"Restore {key} from its backup.")
        check = call(home, "config", "check")
        assert check.code == 1
        assert "This home's signing keys are lost: start over" in check.out
        assert key.exists() == (broken is not None)
        key.touch(mode=0o600)
    key.write_text(text)
    assert call(home, "config", "check").code == 0


def test_a_sealing_key_that_others_may_read(home: Path) -> None:
    """The mode is what is wrong, so the mode is what is to be changed."""
    key = home / "certs/sealing.key"
    key.chmod(0o644)
    assert f"do this: chmod 600 {key}\n" in call(home, "config", "check").out
    assert refused(home, "quickstart", code=3)["do_this"] == f"chmod 600 {key}"


@pytest.mark.parametrize(("name", "label"), [("server", "server"), ("bot", "client")])
def test_a_pair_without_its_key_is_not_kept(home: Path, name: str, label: str) -> None:
    """A certificate whose key is gone is a problem; the two printed commands mend it."""
    (home / f"certs/{name}.key").unlink()
    outcome = run(home, "quickstart")
    assert outcome.code == 1
    assert f"✘ {label} certificate: certs/{name}.crt\n" in outcome.out
    lines = [line.strip() for line in outcome.out.splitlines()]
    words = shlex.split(next(line for line in lines if line.startswith("rm -- ")))
    assert words[2:] == [f"certs/{name}.crt"]
    (home / words[2]).unlink()
    assert call(home, "quickstart").code == 0
    assert call(home, "config", "check").code == 0


def test_a_server_without_its_key_is_mended_as_told(home: Path) -> None:
    """The command that serve and config check print for a lost key makes the pair anew."""
    (home / "certs/server.key").unlink()
    any_ports = ("--port", "0", "--mtls-port", "0", "--ops-port", "0")
    told = refused(home, "serve", *any_ports, code=3)["do_this"]
    assert told in call(home, "config", "check").out
    words = shlex.split(told.partition("rm -- ")[2].partition(" && ")[0])
    assert words == [str(home / "certs/server.crt")]
    Path(words[0]).unlink()
    assert call(home, "quickstart").code == 0


def test_a_ca_without_its_key(home: Path) -> None:
    """No command that needs the key sends to one that refuses for the same reason."""
    (home / "certs/ca.key").unlink()
    for words in (("ca", "init"), ("ca", "issue", "x")):
        error = refused(home, *words, code=3)
        assert error["message"] == "the development CA has lost its key"
        assert "start over" in error["do_this"]
    outcome = call(home, "quickstart")
    assert outcome.code == 1
    assert "its key ca.key is missing" in outcome.out
    assert "rm -- " not in outcome.out


def test_a_file_that_is_no_database(home: Path) -> None:
    """Garbage where the database was is named, and never waited for."""
    (home / "certbound.db").write_bytes(b"garbage" * 100)
    for words in (("client", "list"), ("quickstart",), ("db", "upgrade"), ("serve",)):
        error = refused(home, *words, code=3)
        assert error["seen"] == "file is not a database"
        assert error["do_this"].startswith("Restore it")


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable)


@pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("setpriv") is None
    or subprocess.run([*NOBODY, "-c", "import typer"], capture_output=True, check=False).returncode
    != 0,
    reason="needs root, setpriv, and an environment that everybody may read",
)
@pytest.mark.parametrize("enters", [True, False])
def test_another_account(home: Path, *, enters: bool) -> None:
    """Whoever may not read the database, or not enter the home, is told so in a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        if enters:
            Path(folder).chmod(0o755)
        moved = copy_of(home, Path(folder) / "home")
        done = subprocess.run(
            [*NOBODY, "-m", "app", "client", "list", "--home", moved],
            cwd="/",
            env={**clean(), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3, done
    assert "permission denied" in done.stderr.lower()
    assert ("it belongs to root" in done.stderr) == enters
    assert "Traceback" not in done.stderr
