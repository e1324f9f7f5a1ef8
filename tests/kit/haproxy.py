"""A real HAProxy in front of two nodes, with the very configuration that docs/deploy shows."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.running import ROOT, START_LIMIT, STOP_LIMIT, Running

CONFIGURATION = ROOT / "docs" / "deploy" / "compose" / "haproxy.cfg"
PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
WANTING = "needs HAProxy (apt-get install haproxy)"


@dataclass(frozen=True)
class Haproxy:
    """Up, on these ports."""

    port: int
    mtls_port: int
    file: Path

    @property
    def log(self) -> str:
        """One line per connection, once it has ended: `main_nodes/node-1` took it."""
        return self.file.read_text(errors="replace")

    def await_said(self, text: str) -> None:
        """Return once its log says so."""
        deadline = time.monotonic() + START_LIMIT
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)


@contextmanager
def haproxy(
    nodes: tuple[Running, Running], folder: Path, port: int, mtls_port: int
) -> Iterator[Haproxy]:
    """Listen on these ports of 127.0.0.1 for `nodes`."""
    assert PROGRAM is not None
    text = CONFIGURATION.read_text()
    changes = [("0.0.0.0:8443", f"127.0.0.1:{port}"), ("0.0.0.0:9443", f"127.0.0.1:{mtls_port}")]
    for number, node in enumerate(nodes, 1):
        changes.append((f" node-{number}:8443", f" 127.0.0.1:{node.port}"))
        changes.append((f" node-{number}:9443", f" 127.0.0.1:{node.mtls_port}"))
    for shown, real in changes:
        assert shown in text, shown
        text = text.replace(shown, real)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(text)
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "-db", "-f", configuration], stdout=output, stderr=subprocess.STDOUT
        )
    started = Haproxy(port, mtls_port, log)
    try:
        yield started
        assert process.poll() is None, started.log
    finally:
        process.terminate()
        process.wait(STOP_LIMIT)
