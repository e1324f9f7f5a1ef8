"""One worker as its supervisor sees it: a process, and the line to it.

Started by executing the program anew, never by a bare fork: no thread, lock or database handle of
the supervisor is there twice. Ends when the line ends (see `app.workers.place`).
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.workers import place

PROGRAM = "app"
"""The module that a worker runs."""


class OnChange(Protocol):
    """Called when a worker became ready (`first`: for the first time) or ceased to be."""

    def __call__(self, *, first: bool) -> None: ...  # noqa: D102 - says the class


@dataclass(eq=False, slots=True)
class Worker:
    """One process."""

    number: int
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ready: bool = False
    since: float | None = None
    """When it was first ready, in the loop's time."""
    code: int | None = None
    """Its exit code, once it has ended; negative: the signal that ended it."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, word: bytes) -> None:
        """Say something; one that has gone does not hear it."""
        with suppress(OSError, RuntimeError):
            self.writer.write(word)

    async def until_ready(self) -> bool:
        """Wait for it; False when it ended before."""
        while self.since is None and self.code is None:
            self._changed.clear()
            await self._changed.wait()
        return self.code is None

    async def until_ended(self, on_change: OnChange) -> None:
        """Hear it out; `on_change` is called whenever it became ready or ceased to be."""
        with suppress(OSError):
            while word := await self.reader.readline():
                self.ready = word == place.READY
                first = self.ready and self.since is None
                if first:
                    self.since = asyncio.get_running_loop().time()
                self._changed.set()
                on_change(first=first)
        self.ready = False
        self.code = await self.process.wait()
        self.writer.close()
        self._changed.set()
        on_change(first=False)


async def start(number: int, arguments: Sequence[str], sockets: Sequence[socket.socket]) -> Worker:
    """A new process that accepts from `sockets`; `arguments` are those of the program."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", PROGRAM, *arguments),
            env=_environment(place.given(number, theirs, sockets)),
            pass_fds=[each.fileno() for each in (theirs, *sockets)],
            # A Ctrl-C at the terminal is for the supervisor, who then tells everybody once.
            process_group=0,
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return Worker(number, process, reader, writer)


def _environment(text: str) -> dict[str, str]:
    """Ours, so that the same code is found: not whatever ``app`` lies in the current directory."""
    code = str(Path(__file__).resolve().parents[2])
    paths = [code, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths))),
        place.VARIABLE: text,
    }
