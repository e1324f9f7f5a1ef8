"""A real certbound process on free ports, started by the commands a user types.

`running` ends the process with SIGTERM and insists that it stopped gracefully, with exit code 0,
and that its log holds no stack trace: so every journey asserts both.
"""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from app import config
from app.admin.desk import Desk, at_desk
from tests.kit.command import call
from tests.kit.wire import TIMEOUT

ROOT = Path(__file__).parents[2]
START_LIMIT = 60.0
"""Seconds a loaded machine may take until the server answers."""
STOP_LIMIT = 60.0
"""Seconds from SIGTERM to the end of the process: its own limit of ten, and a machine that is busy."""
_PORTS = range(10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8, 32_768, 8)
"""Below Linux's ephemeral ports: no outgoing connection takes one between choice and use. Each
process of a test run has its own of them."""
_given: set[int] = set()
"""Chosen by this process: nobody may listen there yet."""
_LEAKING = (
    "CERTBOUND_",
    "REQUESTS_CA_BUNDLE",
    "CURL_",
    "SSL_CERT_",
    "CLOCK_SHIFT_FILE",
    "PYTEST_ADDOPTS",
)
"""Variables of whoever runs the tests that would change what a client or the server does."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers, and the home it was started from."""

    home: Path
    port: int
    mtls_port: int
    process: "subprocess.Popen[str]"
    environment: dict[str, str]

    @property
    def issuer(self) -> str:
        """The issuer identifier."""
        return f"https://localhost:{self.port}"

    @property
    def token_url(self) -> str:
        """The token endpoint on the main listener."""
        return f"{self.issuer}/token"

    @property
    def mtls_token_url(self) -> str:
        """The token endpoint at the mTLS alias."""
        return f"https://localhost:{self.mtls_port}/token"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return (self.home / "server.log").read_text(errors="replace")

    def file(self, name: str) -> Path:
        """A file under ``certs/``."""
        return self.home / "certs" / name

    def tls(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        *,
        version: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """A client's TLS settings: trusts the development CA, presents `certificate`."""
        context = ssl.create_default_context(cafile=self.file("ca.crt"))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if certificate is not None:
            context.load_cert_chain(certificate, key or certificate.with_suffix(".key"))
        return context

    def client(
        self, name: str | None = "bot", *, version: ssl.TLSVersion | None = None
    ) -> httpx2.Client:
        """An HTTP client with the certificate ``certs/<name>.crt``, or with none."""
        tls = self.tls(self.file(f"{name}.crt") if name else None, version=version)
        return httpx2.Client(verify=tls, timeout=TIMEOUT, trust_env=False)

    def certbound(self, *arguments: str, check: bool = True) -> str:
        """Run a command on this home, inside this process for speed; its standard output."""
        done = call(self.home, *arguments, environment=self.environment)
        if check and done.code != 0:
            raise AssertionError(f"{arguments}: exit {done.code}\n{done.out}{done.err}")
        return done.out

    def certbound_json(self, *arguments: str, check: bool = True) -> Any:
        """Run a command with ``--json``; what it printed."""
        return json.loads(self.certbound(*arguments, "--json", check=check))

    def problem(self, *arguments: str) -> Any:
        """Run a command that must refuse, or meet a file it cannot read; the error it told, with message and seen."""
        done = call(self.home, *arguments, "--json", environment=self.environment)
        assert done.code in (1, 3), f"{arguments}: exit {done.code}\n{done.out}{done.err}"
        return done.error

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """An operator's desk on this home, beside the running server."""
        with desk_on(self.home, self.environment) as desk:
            yield desk


@contextmanager
def desk_on(home: Path, environment: dict[str, str] | None = None) -> Iterator[Desk]:
    """What a command works with, without the cost of starting one."""
    with at_desk(config.load(home, environ=environment or {}).settings) as desk:
        yield desk


def certbound(
    home: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: str = "app",
) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a process of its own; it must succeed."""
    command = [sys.executable, "-m", program, *arguments, "--home", str(home)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**clean_environment(), **(environment or {})},
        timeout=110,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def clean_environment() -> dict[str, str]:
    """The environment without settings that would leak into a test; ``python -m app`` works."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_LEAKING)}
    return {**kept, "PYTHONPATH": str(ROOT)}


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 nobody listens on at this moment."""
    sockets: list[socket.socket] = []
    choice = random.SystemRandom()
    if len(_given) > len(_PORTS) / 2:
        _given.clear()
    while len(sockets) < count:
        port = choice.choice(_PORTS)
        if port in _given:
            continue
        try:
            sockets.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    _given.update(ports)
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(
    home: Path,
    *,
    quickstart: bool = True,
    program: str = "app",
    extra: dict[str, str] | None = None,
    wait: bool = True,
    **settings: str,
) -> Iterator[Running]:
    """A server on `home`, stopped with SIGTERM at the end; `settings` go into its environment.

    `program` is the module that is run, `extra` are variables that are no settings. Without `wait`
    the block begins before it is ready. A test may end the process itself; what it did to it is
    then not judged here.
    """
    port, mtls_port = free_ports(2)
    environment = {
        "CERTBOUND_PORT": str(port),
        "CERTBOUND_MTLS_PORT": str(mtls_port),
        "CERTBOUND_OPS_PORT": "0",  # servers beside each other would fight for the default
        **{f"CERTBOUND_{name.upper()}": value for name, value in settings.items()},
    }
    if quickstart:
        certbound(home, "quickstart", environment=environment)
    with (home / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", program, "serve", "--home", str(home)],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env={**clean_environment(), **environment, **(extra or {})},
        )
    server = Running(home, port, mtls_port, process, environment)
    try:
        if wait:
            wait_ready(server)
        yield server
        ended_by_test = process.poll() is not None
    except BaseException:
        process.kill()
        process.wait()
        raise
    if not ended_by_test:
        assert stop(server) == 0, server.log
    assert "Traceback" not in server.log, server.log


def stop(server: Running) -> int:
    """SIGTERM, as a service manager sends it; the exit code. Kills what does not end in time."""
    server.process.send_signal(signal.SIGTERM)
    try:
        return server.process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise


def wait_ready(server: Running) -> None:
    """Return once the server says it is ready; raises with its log when it does not."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with server.client(None) as client:
                if client.get(f"{server.issuer}/readyz").status_code == 200:
                    return
        except (httpx2.TransportError, OSError):
            time.sleep(0.05)
    raise AssertionError(server.log)
