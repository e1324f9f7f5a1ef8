"""A server that cannot start says why in the form of its log; in words and exit code as to people."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from app.cli import serve
from app.store import schema
from tests.kit.command import Outcome, call, copy_of, run
from tests.kit.running import free_ports

PASSWORD = "not-to-be-seen"  # noqa: S105 - a canary


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as quickstart makes it, with ports of its own; to be copied."""
    home = tmp_path_factory.mktemp("template") / "home"
    assert call(home, "quickstart").code == 0
    port, mtls_port = free_ports(2)
    (home / "certbound.toml").write_text(f"port = {port}\nmtls_port = {mtls_port}\nops_port = 0\n")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """One of the test's own."""
    return copy_of(template, tmp_path / "home")


def add(home: Path, text: str) -> None:
    """Write more settings, before the others: a later line may spoil the file."""
    file = home / "certbound.toml"
    file.write_text(f"{text}\n{file.read_text()}")


def no_database(home: Path) -> None:
    """Take it away."""
    (home / "certbound.db").unlink()


def no_sealing_key(home: Path) -> None:
    """Another one than the signing keys are sealed with."""
    (home / "certs" / "sealing.key").write_text("A" * 43)


def no_certificate(home: Path) -> None:
    """A server certificate that is none."""
    (home / "certs" / "server.crt").write_text("none")


def older_schema(home: Path) -> None:
    """What a release before this one left."""
    no_database(home)
    url = f"sqlite:///{home / 'certbound.db'}"
    schema.upgrade(url, "0003")


def unknown_setting(home: Path) -> None:
    """A name that there is not."""
    add(home, "work_ers = 2")


def no_toml(home: Path) -> None:
    """A settings file that cannot be read at all."""
    add(home, "= =")


def password_in_issuer(home: Path) -> None:
    """What must not be repeated."""
    add(home, f'issuer = "https://me:{PASSWORD}@as.example"')


BROKEN: tuple[Callable[[Path], None], ...] = (
    no_database,
    no_sealing_key,
    no_certificate,
    older_schema,
    unknown_setting,
    no_toml,
    password_in_issuer,
)


def told(outcome: Outcome) -> dict[str, Any]:
    """The one line of a server that failed; nothing else is there, and nothing on the other stream."""
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    members: dict[str, Any] = json.loads(line)
    assert (members.pop("event"), members.pop("level")) == ("server.failed", "error")
    assert members.pop("timestamp").endswith("Z")
    return members


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda one: one.__name__)
def test_one_line_with_the_same_words(home: Path, spoil: Callable[[Path], None]) -> None:
    """What `--json` tells, in a line of the log, with the same exit code; to people as ever."""
    spoil(home)
    add(home, 'log_format = "console"')
    error = run(home, "serve", "--json")
    as_text = run(home, "serve")
    assert as_text.err.startswith(f"✘ {error.error['message']}")
    file = home / "certbound.toml"
    file.write_text(file.read_text().replace('"console"', '"json"', 1))
    outcome = run(home, "serve")
    assert told(outcome) == error.error
    assert outcome.code == error.code == as_text.code == 3
    assert PASSWORD not in outcome.err + error.err + as_text.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(home: Path, workers: str) -> None:
    """The listeners are part of a start, with workers too."""
    add(home, 'log_format = "json"')
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        outcome = run(home, "serve", "--port", port, "--workers", workers)
    assert outcome.code == 3
    assert told(outcome)["message"] == "the server cannot listen"


@pytest.mark.parametrize("way", ["--log-format=json", "--log-format json", "environment"])
def test_whoever_says_that_it_is_json(home: Path, way: str) -> None:
    """A flag or a variable counts as the file does, and before it."""
    no_toml(home)
    add(home, 'log_format = "console"')
    if way == "environment":
        outcome = run(home, "serve", environment={"CERTBOUND_LOG_FORMAT": "json"})
    else:
        outcome = run(home, "serve", *way.split())
    assert "cannot be read as TOML" in told(outcome)["message"]


def test_a_usage_that_is_wrong(home: Path) -> None:
    """A flag that there is not: exit code 2, in a line too."""
    outcome = run(home, "serve", "--log-format", "json", "--work-ers", "2")
    assert outcome.code == 2
    assert told(outcome)["kind"] == "usage"


def test_a_worker_says_it_in_a_line_too(home: Path) -> None:
    """Where the processes of a server fail, each line on either stream is an object."""
    no_certificate(home)
    outcome = run(home, "serve", "--log-format", "json", "--workers", "2")
    lines = [json.loads(line) for line in (outcome.out + outcome.err).splitlines()]
    assert "server.failed" in {line["event"] for line in lines}
    assert outcome.code == 3


def test_a_fault_of_its_own_has_its_stack_in_the_line(home: Path) -> None:
    """What no operator can mend is one line too, and ends as Python does."""
    add(home, 'log_format = "json"')
    with mock.patch.object(serve, "serve_forever", side_effect=RuntimeError("odd")):
        outcome = call(home, "serve")
    members = told(outcome)
    assert members["message"] == "an error in the program"
    assert members["exception"].endswith("RuntimeError: odd")
    assert outcome.code == 1


def test_other_commands_speak_to_people(home: Path) -> None:
    """The log is a server's; what somebody typed is answered as ever."""
    no_database(home)
    add(home, 'log_format = "json"')
    assert call(home, "client", "list").err.startswith("✘ ")
