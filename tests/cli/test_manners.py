"""What every command has in common."""

import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from app.cli import build, main
from app.cli.dates import until
from app.cli.escape import command_line, escape
from app.cli.page import Page
from app.cli.session import advice
from tests.kit.command import ROOT, call, clean, run

LOOKING = [
    ("config", "show"),
    ("config", "check"),
    ("client", "list"),
    ("client", "show", "bot"),
    ("client", "cert", "list", "bot"),
    ("trust", "list"),
    ("resource", "list"),
    ("key", "list"),
    ("db", "status"),
    ("audit", "tail"),
    ("quickstart",),
    ("doctor", "cert", "certs/bot.crt"),
]


def _commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(node, "commands"):
        for name, child in node.commands.items():
            yield from _commands(child, (*path, name))
    else:
        yield path, node


def test_every_command_takes_home_and_json() -> None:
    """--home, --json and a help text stand on each command of the tree."""
    found = dict(_commands(typer.main.get_command(build())))
    assert len(found) > 25
    for path, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--home", "--json"} <= options, path
        assert command.help, path
        for parameter in command.params:
            assert parameter.help, (path, parameter.name)


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_json_is_one_versioned_object(home_template: Path, command: tuple[str, ...]) -> None:
    """With --json standard output is one object with version 1, and nothing else is printed."""
    outcome = run(home_template, *command, "--json")
    assert outcome.code == 0, outcome
    assert outcome.json["version"] == 1
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nonsense"], 2),
        (["client", "nonsense"], 2),
        (["client", "show"], 2),
        (["client", "list", "--nonsense"], 2),
        (["audit", "tail", "-n", "many"], 2),
        (["serve", "--port", "many"], 2),
        (["explain", "nothing1"], 1),
        (["client", "list", "--home", "/nonexistent"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_errors_have_a_code_and_a_shape(home_template: Path, words: list[str], code: int) -> None:
    """A mistake gives its exit code, a sentence on standard error, or with --json an object."""
    plain = run(home_template, *words)
    assert (plain.code, plain.out) == (code, "")
    assert plain.err.startswith("✘ ")
    assert "Traceback" not in plain.err
    shaped = run(home_template, *words, "--json")
    assert (shaped.code, shaped.out) == (code, "")
    assert set(shaped.error) >= {"kind", "message"}


def test_a_noun_alone_shows_its_verbs(home_template: Path) -> None:
    """`certbound client` prints the help of the noun and is a usage error."""
    outcome = run(home_template, "client")
    assert outcome.code == 2
    assert "Register one more certificate" not in outcome.err
    assert "disable" in outcome.err


def test_no_colour_unless_a_terminal_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour appears on a terminal only, and never with NO_COLOR."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def printed(stream: io.StringIO) -> str:
        page = Page()
        page.ok("label", "value")
        page.write(stream, as_json=False)
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert printed(Terminal()) == "\x1b[32m✔\x1b[0m label: value\n"
    assert printed(io.StringIO()) == "✔ label: value\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(Terminal()) == "✔ label: value\n"


def test_escape_leaves_letters_and_shows_codes() -> None:
    """Letters of every script stay; what a terminal acts on, or hides, becomes a code."""
    assert escape("Zoë 東京 CN=a\\,b") == "Zoë 東京 CN=a\\,b"
    assert escape("a\x00\x1b\x7f\x9b\u200b\u202e\u2028\ud800\U000e0041") == (
        "a\\x00\\x1b\\x7f\\x9b\\u200b\\u202e\\u2028\\ud800\\U000e0041"
    )


def test_a_command_line_reads_back() -> None:
    """Quoting survives a shell; an argument that cannot be shown is never printed."""
    assert command_line(("a", "b c", "$(x)")) == "a 'b c' '$(x)'"
    with pytest.raises(ValueError, match="cannot be shown"):
        command_line(("a", "b\nrm"))
    page, stream = Page(), io.StringIO()
    page.command("try", "cat", "b\nrm")
    page.write(stream, as_json=False)
    assert "rm" not in stream.getvalue()


def test_a_reader_that_has_enough(home: Path) -> None:
    """`| head -1` ends a command quietly and without a stack."""
    command = f"{sys.executable} -m app audit tail -n 10000 --home {home} | true"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        env={**clean(), "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )
    assert done.stderr == ""


def test_advice_names_the_home(home: Path) -> None:
    """A command in a message repeats the --home that was given, so that it can be pasted."""
    error = json.loads(call(home, "client", "show", "x", "--json").err)["error"]
    assert error["do_this"] == f"certbound client list --home {home}"


def test_advice_names_the_home_of_the_environment(home: Path, tmp_path: Path) -> None:
    """Also where CERTBOUND_HOME named it: the next terminal does not have that variable."""
    environment = {"CERTBOUND_HOME": str(home)}
    for words in (("client", "show", "x"), ("token", "inspect", "x", "--home", "else")):
        outcome = run(tmp_path, *words, environment=environment)
        lines = [line for line in outcome.err.splitlines() if "-m app" in line]
        assert all(line.endswith(f"--home {home}") for line in lines)
    assert str(home) not in run(home, "client", "show", "x", environment=environment).err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("certbound a b", "certbound a b --home H"),
        ("Do this: certbound a", "Do this: certbound a --home H"),
        ("rm -- x && certbound a", "rm -- x && certbound a --home H"),
        ("So: certbound a && certbound b 'c d'", "So: certbound a --home H && certbound b 'c d' --home H"),
        ("certbound a, then b", "certbound a, then b"),
        ("a certbound home", "a certbound home"),
    ],
)  # fmt: skip
def test_advice(monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    """A command at the end of advice gets the home; a sentence about commands stays as it is."""
    monkeypatch.setattr(sys, "argv", ["certbound"])
    assert advice(text, Path("H")) == told


def test_the_version() -> None:
    """--version prints the one that pyproject.toml has."""
    outcome = run(ROOT, "--version")
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (outcome.code, outcome.out) == (0, f"certbound {number}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(home: Path) -> None:
    """Output that cannot be written ends with a sentence and the environment's code."""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m app config show --home {home} > /dev/full"],
        capture_output=True,
        text=True,
        env={**clean(), "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == "✘ the output cannot be written: No space left on device\n"


def test_options_before_the_command(home: Path) -> None:
    """--json and --home in front are a usage error that shows the right order."""
    outcome = run(home, "--home", "x y", "--json", "client", "list")
    assert outcome.code == 2
    assert outcome.error["do_this"].endswith("-m app client list --home 'x y' --json")


def test_help_is_not_cut(home: Path) -> None:
    """The summaries of nouns and verbs are shown whole."""
    for words in ((), ("client",), ("client", "cert")):
        assert "..." not in run(home, *words, "--help").out.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (90 * 86_400 - 5, "in 90 days"),
        (86_400, "in 24 hours"),
        (7199, "in 2 hours"),
        (300, "in 5 minutes"),
        (1, "in 1 second"),
        (-300, "5 minutes ago"),
    ],
)
def test_spans(monkeypatch: pytest.MonkeyPatch, seconds: int, told: str) -> None:
    """A time to go is rounded, not cut down."""
    monkeypatch.setattr("app.clock.now", lambda: 1_000_000_000)
    assert until(1_000_000_000 + seconds).endswith(f" ({told})")


def test_main_returns_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`main` returns instead of exiting; --help is a success."""
    assert main(["--help"]) == 0
    assert "quickstart" in capsys.readouterr().out
    assert main(["--nonsense"]) == 2
