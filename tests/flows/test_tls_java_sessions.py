"""Java, which resumes sessions wherever a server lets it, always gets a full handshake."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.test_clients_java import LIMIT, PASSWORD, stores
from tests.kit.running import ROOT, Running

PROGRAM = ROOT / "tests" / "clients" / "java" / "Sessions.java"
FULL = "Consuming server Certificate handshake message"
"""What the JDK writes down of a handshake in which the server proved itself: no resumed one has it."""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled program is; skips where there is no JDK."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("a JDK (java and javac) is needed to run tests/clients/java/Sessions.java")
    folder = tmp_path_factory.mktemp("java")
    subprocess.run(
        ["javac", "-d", str(folder), str(PROGRAM)], check=True, timeout=LIMIT, capture_output=True
    )
    return folder


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_java_never_resumes(classes: Path, server: Running, tmp_path: Path, version: str) -> None:
    """Two connections of one SSLContext: two full handshakes, two tokens, whatever it may offer."""
    mine, trust = stores(server, "bot", tmp_path)
    words = [str(server.mtls_port), "bot", str(mine), str(trust), PASSWORD, version]
    done = subprocess.run(
        ["java", "-Djavax.net.debug=ssl:handshake", "-cp", str(classes), "Sessions", *words],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [line for line in done.stdout.splitlines() if line.startswith("TLSv")]
    assert answers == [f"{version} HTTP/1.1 200 OK"] * 2, answers
    told = done.stdout + done.stderr
    assert told.count(FULL) == 2
