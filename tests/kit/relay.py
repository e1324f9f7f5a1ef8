"""A balancer in small: a TCP address whose target changes, while old connections stay as they are."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SIZE = 65_536
"""Octets passed on at a time."""


@dataclass
class Relay:
    """Passes octets between those who connect and a Unix socket."""

    target: Path
    _listening: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0))
    )
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self._listening.getsockname()[1])

    @contextlib.contextmanager
    def running(self) -> Iterator["Relay"]:
        """Relay until the block ends; then all connections are closed."""
        self._begin(self._accept)
        try:
            yield self
        finally:
            for each in (self._listening, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _begin(self, work: object, *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]  # any of ours

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                self._open += (near, far)
                try:
                    far.connect(str(self.target))
                except OSError:
                    near.close()
                    continue
                self._begin(self._pass_on, near, far)
                self._begin(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        """What `source` says, until it ends."""
        with contextlib.suppress(OSError):
            while octets := source.recv(_SIZE):
                to.sendall(octets)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)
