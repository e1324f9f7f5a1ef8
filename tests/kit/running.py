"""A real certbound process on free ports, started by the commands a user types."""

import json
import os
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

START_LIMIT = 30.0
"""Seconds a loaded machine may take until the server answers."""


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

    def file(self, name: str) -> Path:
        """A file under ``certs/``."""
        return self.home / "certs" / name

    def tls(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """A client's TLS settings: trusts the development CA, presents `certificate`."""
        context = ssl.create_default_context(cafile=self.file("ca.crt"))
        if certificate is not None:
            context.load_cert_chain(certificate, key or certificate.with_suffix(".key"))
        return context

    def client(self, name: str | None = "bot") -> httpx2.Client:
        """An HTTP client with the certificate ``certs/<name>.crt``, or with none."""
        tls = self.tls(self.file(f"{name}.crt") if name else None)
        return httpx2.Client(verify=tls, timeout=20, trust_env=False)

    def certbound(self, *arguments: str, check: bool = True) -> str:
        """Run a command on this home; its standard output."""
        return certbound(self.home, *arguments, environment=self.environment, check=check).stdout

    def certbound_json(self, *arguments: str, check: bool = True) -> Any:
        """Run a command with ``--json``; what it printed."""
        return json.loads(self.certbound(*arguments, "--json", check=check))


def certbound(
    home: Path, *arguments: str, environment: dict[str, str] | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a process of its own."""
    command = [sys.executable, "-m", "app", *arguments, "--home", str(home)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**clean_environment(), **(environment or {})},
        timeout=60,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def clean_environment() -> dict[str, str]:
    """The environment without settings that would leak into a test."""
    return {k: v for k, v in os.environ.items() if not k.startswith("CERTBOUND_")}


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(home: Path, *, quickstart: bool = True, **settings: str) -> Iterator[Running]:
    """A server on `home`, stopped with SIGTERM at the end; `settings` go into its environment."""
    port, mtls_port = free_ports(2)
    environment = {
        "CERTBOUND_PORT": str(port),
        "CERTBOUND_MTLS_PORT": str(mtls_port),
        **{f"CERTBOUND_{name.upper()}": value for name, value in settings.items()},
    }
    if quickstart:
        certbound(home, "quickstart", environment=environment)
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--home", str(home)],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env={**clean_environment(), **environment},
        )
    server = Running(home, port, mtls_port, process, environment)
    try:
        wait_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
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
    raise AssertionError((server.home / "server.log").read_text())
