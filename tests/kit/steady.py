"""Clients that ask for tokens without a pause, on kept connections, made anew when they have to be.

`broken` holds every request that got no answer, `others` every answer that was no token.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.kit.presenting import token_request
from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, ClosedEarly, Reader

ENOUGH = 20
"""Tokens after which the servers are under load."""


@dataclass
class Steady:
    """Some threads, each with one connection at a time."""

    servers: list[Running]
    threads: int = 4
    client_id: str = "bot"
    received: list[str] = field(default_factory=list)
    others: list[tuple[int, str | None]] = field(default_factory=list)
    """Status and Retry-After."""
    broken: list[str] = field(default_factory=list)
    refused: int = 0
    """Connections that could not be made."""
    gaps: list[float] = field(default_factory=list)
    """Seconds from each token to the next on one connection, where that was more than a second."""
    _done: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The block begins under load; all clients have ended behind it."""
        workers = [
            threading.Thread(target=self._work, args=(self.servers[n % len(self.servers)],))
            for n in range(self.threads)
        ]
        for thread in workers:
            thread.start()
        try:
            self.wait(ENOUGH)
            yield
        finally:
            self._done.set()
            for thread in workers:
                thread.join(2 * TIMEOUT)
        assert not any(thread.is_alive() for thread in workers)

    def wait(self, more: int, limit: float = 60.0) -> None:
        """Until so many more tokens were received."""
        wanted, deadline = len(self.received) + more, time.monotonic() + limit
        while len(self.received) < wanted:
            assert time.monotonic() < deadline, (self.others[-3:], self.broken[-3:])
            time.sleep(0.005)

    def _work(self, server: Running) -> None:
        context = server.tls(server.file(f"{self.client_id}.crt"))
        while not self._done.is_set():
            try:
                raw = socket.create_connection(("127.0.0.1", server.mtls_port), TIMEOUT)
                connection = context.wrap_socket(raw, server_hostname="localhost")
            except (OSError, ssl.SSLError):
                self.refused += 1
                time.sleep(0.02)
                continue
            with connection:
                self._ask(connection)

    def _ask(self, connection: ssl.SSLSocket) -> None:
        reader = Reader(connection)
        last = time.monotonic()
        while not self._done.is_set():
            try:
                connection.sendall(token_request(self.client_id))
                response = reader.response()
            except (OSError, ssl.SSLError, ClosedEarly) as error:
                self.broken.append(repr(error))
                return
            if response.status == 200:
                self.received.append(response.json()["access_token"])
            else:
                self.others.append((response.status, response.headers.get("retry-after")))
                time.sleep(0.02)
            if response.headers.get("connection") == "close":
                return
            now = time.monotonic()
            if now - last > 1.0:
                self.gaps.append(now - last)
            last = now
