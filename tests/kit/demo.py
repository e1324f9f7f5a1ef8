"""The demo API as a process of its own, started by the command a user types."""

import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.kit.running import START_LIMIT, STOP_LIMIT, clean_environment, free_ports


@dataclass(frozen=True)
class Demo:
    """A demo API that accepts connections, and the home it serves from."""

    home: Path
    port: int
    announced: str
    """What it printed when it was ready."""

    @property
    def url(self) -> str:
        """Its one page."""
        return f"https://localhost:{self.port}/"

    @property
    def log(self) -> str:
        """All it printed so far."""
        return (self.home / f"demo-{self.port}.log").read_text(errors="replace")

    def ask(
        self,
        token: str | None,
        name: str | None = "bot",
        *,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> httpx2.Response:
        """A request on a new connection with the certificate ``certs/<name>.crt``, or with none."""
        tls = ssl.create_default_context(cafile=self.home / "certs" / "ca.crt")
        if name is not None:
            file = self.home / "certs" / f"{name}.crt"
            tls.load_cert_chain(file, file.with_suffix(".key"))
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        with httpx2.Client(verify=tls, trust_env=False, timeout=60) as http:
            return http.get(f"{self.url}{query}", headers=sent)


@contextmanager
def demo_api(
    home: Path, environment: Mapping[str, str], *arguments: str, port: int | None = None
) -> Iterator[Demo]:
    """``certbound demo-api`` in `home`, on a free port unless said.

    It must end gracefully and without a stack trace.
    """
    if port is None:
        (port,) = free_ports(1)
    path = home / f"demo-{port}.log"
    command = [sys.executable, "-m", "app", "demo-api", "--port", str(port)]
    with path.open("w") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**clean_environment(), **environment},
        )
    try:
        deadline = time.monotonic() + START_LIMIT
        while not (announced := path.read_text()):  # printed at once, when it accepts connections
            assert process.poll() is None, "the demo API ended without a word"
            assert time.monotonic() < deadline, "the demo API does not start"
            time.sleep(0.02)
        demo = Demo(home, port, announced)
        yield demo
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_LIMIT) == 0, demo.log
        assert "Traceback" not in demo.log, demo.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
