"""openid-client from npm, which knows RFC 8705: it asks where the aliases say, or where they do not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit import tokens
from tests.kit.running import ROOT, Running, clean_environment

OLDEST = (20, 18, 1)
"""undici 7 asks for this Node."""
INSTALL_LIMIT = 90.0
RUN_LIMIT = 30.0
"""Seconds."""


def node_version() -> tuple[int, ...]:
    """The version of Node, empty where there is none."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return ()
    done = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, timeout=RUN_LIMIT, check=True
    )
    return tuple(int(part) for part in done.stdout.strip().lstrip("v").split("-")[0].split("."))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locked packages installed; skips, and says why, where that cannot be."""
    found = node_version()
    if found < OLDEST:
        seen = ".".join(map(str, found)) or "none"
        pytest.skip(f"Node {'.'.join(map(str, OLDEST))} or newer with npm is needed; found {seen}")
    folder = tmp_path_factory.mktemp("node")
    for path in (ROOT / "tests" / "clients" / "node").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    try:
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm ci was not done after {INSTALL_LIMIT:g} s: is a registry reachable?")
    if done.returncode != 0:
        assert "EINTEGRITY" not in done.stderr, done.stderr  # that is no missing registry
        pytest.skip(f"npm ci could not install the packages: {done.stderr.strip()[-500:]}")
    return folder


def run(
    packages: Path,
    server: Running,
    *arguments: str,
    name: str = "bot",
    script: str = "token.mjs",
) -> dict[str, Any]:
    """What a script printed that asked for ``bot`` with the certificate of `name`."""
    files = [str(server.file(f)) for f in (f"{name}.crt", f"{name}.key", "ca.crt")]
    done = subprocess.run(
        ["node", script, server.issuer, "bot", *files, *arguments],
        cwd=packages,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("aliases", ["aliases", "no-aliases"])
def test_openid_client_gets_a_token(packages: Path, server: Running, aliases: str) -> None:
    """It asks exactly one URL, the one its option picks, and the token is bound to its certificate."""
    found = run(packages, server, aliases)
    expected = server.mtls_token_url if aliases == "aliases" else server.token_url
    assert found["asked"] == [expected]
    claims = tokens.verified(server, found["tokens"]["access_token"])
    assert claims["client_id"] == "bot"
    mine = tokens.read(tokens.issued(tokens.ask_as(server, "bot")))
    assert claims["cnf"] == mine["cnf"]


def test_openid_client_names_a_resource(packages: Path, server: Running) -> None:
    """The resource it names becomes the audience; one that nobody registered is invalid_target."""
    found = run(packages, server, "aliases", tokens.DEFAULT_RESOURCE)
    assert tokens.verified(server, found["tokens"]["access_token"])["aud"] == (
        tokens.DEFAULT_RESOURCE
    )
    refused = run(packages, server, "aliases", "https://elsewhere.example")
    assert (refused["error"], refused["status"]) == ("invalid_target", 400)


def test_openid_client_reads_the_refusal(packages: Path, server: Running) -> None:
    """A certificate that does not fit the client is invalid_client to it, not a broken connection."""
    server.certbound("ca", "issue", "node-stranger")
    found = run(packages, server, "aliases", name="node-stranger")
    assert (found["error"], found["status"]) == ("invalid_client", 401)


@pytest.mark.parametrize("aliases", ["aliases", "no-aliases"])
def test_openid_client_introspects_and_revokes(
    packages: Path, server: Running, aliases: str
) -> None:
    """At the aliases or beside them: active with its claims, revoked, and inactive right after."""
    found = run(packages, server, aliases, script="life.mjs")
    base = f"https://localhost:{server.mtls_port if aliases == 'aliases' else server.port}"
    paths = ("/token", "/introspect", "/revoke", "/introspect")
    assert found["asked"] == [base + path for path in paths], found
    claims = tokens.verified(server, found["token"])
    assert found["before"]["active"] is True
    assert found["before"]["cnf"] == claims["cnf"]
    assert found["before"]["jti"] == claims["jti"]
    assert found["after"] == {"active": False}


def test_openid_client_takes_signed_introspection(packages: Path, server: Running) -> None:
    """It asks for JWT answers (RFC 9701) and verifies type, issuer, audience and signature."""
    found = run(packages, server, "aliases", "jwt", script="life.mjs")
    signed = "application/token-introspection+jwt"
    assert found["types"] == ["application/json", signed, None, signed], found
    assert found["before"]["active"] is True
    assert found["after"] == {"active": False}
