"""Go's standard library, which knows TLS client certificates and nothing of OAuth."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit import tokens
from tests.kit.running import ROOT, Running

PROGRAM = ROOT / "tests" / "clients" / "go" / "token.go"
BUILD_LIMIT = 110.0
RUN_LIMIT = 30.0
"""Seconds; the first build on a machine compiles the standard library."""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client; skips where there is no Go."""
    if shutil.which("go") is None:
        pytest.skip("Go is needed to build tests/clients/go/token.go")
    built = tmp_path_factory.mktemp("go") / "token"
    done = subprocess.run(
        ["go", "build", "-o", str(built), str(PROGRAM)],
        capture_output=True,
        text=True,
        # Never another toolchain from the network.
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"},
        timeout=BUILD_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built


def run(program: Path, server: Running, name: str) -> tuple[int, str]:
    """Status and body that the Go client got as client `bot` with the certificate `name`."""
    files = [str(server.file(f)) for f in (f"{name}.crt", f"{name}.key", "ca.crt")]
    done = subprocess.run(
        [program, server.issuer, "bot", *files],
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.partition("\n")
    return int(status), body


@pytest.mark.timeout(300)
def test_go_gets_a_token_at_the_alias(program: Path, server: Running) -> None:
    """It finds the alias in the metadata, and its token is bound to its certificate."""
    status, body = run(program, server, "bot")
    assert status == 200, body
    claims = tokens.verified(server, json.loads(body)["access_token"])
    mine = tokens.read(tokens.issued(tokens.ask_as(server, "bot")))
    assert claims["cnf"] == mine["cnf"]


@pytest.mark.timeout(300)
def test_go_is_told_why_in_http(program: Path, server: Running) -> None:
    """Another certificate of the same CA reaches the server and is refused with a reference."""
    server.certbound("ca", "issue", "go-stranger")
    status, body = run(program, server, "go-stranger")
    assert status == 401
    assert json.loads(body)["error_ref"]
