"""A server process under measurement: started on its core, told by its port, ended for sure."""

import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench import machine
from bench.load import Ask

START_LIMIT = 30.0
"""Seconds until a server must answer."""


class CannotStart(Exception):
    """The server ended, or never answered; the message is what it wrote."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many, each another: they are held until all are found."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in held]


@dataclass
class Server:
    """What is measured. A context manager: outside of it nothing runs."""

    name: str
    command: list[str]
    port: int
    certs: Path
    core: int | None
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def __enter__(self) -> Self:
        self.start(Ask("/.well-known/oauth-authorization-server", ""))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return machine.family(self.process.pid) if self.process else []

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.certs.parent / f"{self.name.replace(' ', '-')}.log"

    def start(self, first: Ask) -> float:
        """Start it; the seconds until it answered `first` over a connection of its own.

        Raises:
            CannotStart: see there.

        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CERTBOUND_")}
        with machine.on_core(self.core), self.log.open("ab") as log:
            begun = time.monotonic()
            self.process = subprocess.Popen(  # noqa: S603 - made up by ourselves
                self.command,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[1],
                env={**kept, **self.environment},
            )
        while time.monotonic() - begun < START_LIMIT:
            try:
                self.ask(first)
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.005)
            else:
                return time.monotonic() - begun
        self.stop()
        raise CannotStart(f"{self.name}: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def ask(self, ask: Ask) -> bytes:
        """One answer over a new connection, head and body.

        Raises:
            OSError: nobody listens, or the connection broke.
            ValueError: another answer than the one expected.

        """
        tls = ssl.create_default_context(cafile=self.certs / "ca.crt")
        certificate = self.certs / f"{ask.credential}.crt"
        tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
        body = (ask.body or "").encode()
        head = f"{'POST' if body else 'GET'} {ask.path} HTTP/1.1\r\nHost: localhost:{self.port}\r\n"
        head += f"Connection: close\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        plain = socket.create_connection(("127.0.0.1", self.port), START_LIMIT)
        with tls.wrap_socket(plain, server_hostname="localhost") as wire:
            wire.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200") or ask.expect.encode() not in answer:
            raise ValueError(f"{self.name} answers {answer[:1000]!r}")
        return answer
