"""One worker as its supervisor sees it: a process, and the line to it.

Started by executing the program anew, never by a bare fork: no thread, lock or database handle of
the supervisor is there twice. Ends when the line ends (see `app.workers.place`).
"""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.workers import place
from app.workers.totals import Report

PROGRAM = "app"
"""The module that a worker runs."""


class OnWords(Protocol):
    """What a supervisor does about what a worker says."""

    def changed(self, one: "Worker", *, first: bool) -> None:
        """It became ready (`first`: for the first time) or ceased to be."""

    def counted(self, sums: Mapping[str, float]) -> None:
        """It counted so much more."""

    def asked(self, one: "Worker") -> None:
        """It wants to know what all counted."""


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
    levels: Mapping[str, float] = field(default_factory=dict)
    """How it stood when it reported last."""
    has_spoken: bool = False
    is_leaving: bool = False
    """Whether it said its last word: it is closing what it has open."""
    looks: int = 0
    """How often the supervisor looked since it said something."""
    is_hung: bool = False
    """Whether it was killed for its silence."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

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

    async def report(self) -> None:
        """Have it report, and wait until it has, or has gone. One that is still opening has nothing."""
        if self.has_spoken and not self.is_leaving:
            self._told.clear()
            self.tell(place.TELL)
            await self._told.wait()

    async def until_ended(self, do: OnWords) -> None:
        """Hear it out."""
        with suppress(OSError, ValueError):  # ValueError: a line longer than any of ours
            while word := await self.reader.readline():
                self.looks, self.has_spoken = 0, True
                self._hear(word, do)
        self.ready, self.is_leaving, self.looks = False, True, 0
        self._told.set()
        self.code = await self.process.wait()
        self.writer.close()
        self._changed.set()
        do.changed(self, first=False)

    def _hear(self, word: bytes, do: OnWords) -> None:
        if word == place.ASK:
            do.asked(self)
        elif word.startswith((place.BEAT, place.TOLD)):
            with suppress(ValueError):  # a line cut off by its end
                report = Report.decoded(word.partition(b" ")[2])
                self.levels = report.levels
                do.counted(report.sums)
            if word.startswith(place.TOLD):
                self._told.set()
        else:
            self.ready = word == place.READY
            first = self.ready and self.since is None
            if first:
                self.since = asyncio.get_running_loop().time()
            self._changed.set()
            do.changed(self, first=first)


@dataclass(frozen=True, slots=True)
class Sockets:
    """What all workers accept from."""

    listening: Sequence[socket.socket]
    operations: Sequence[socket.socket] = ()


async def start(number: int, arguments: Sequence[str], sockets: Sockets) -> Worker:
    """A new process that accepts from `sockets`; `arguments` are those of the program."""
    ours, theirs = socket.socketpair()
    inherited = (*sockets.listening, *sockets.operations)
    with theirs:
        text = place.given(number, theirs, sockets.listening, sockets.operations)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", PROGRAM, *arguments),
            env=_environment(text),
            pass_fds=[each.fileno() for each in (theirs, *inherited)],
            # A Ctrl-C at the terminal is for the supervisor, who then tells everybody once.
            process_group=0,
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=place.LINE_LIMIT)
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
