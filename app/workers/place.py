"""A worker's place among the others: its number, the sockets it inherited, the line to its supervisor.

Guarantees that a worker ends when its supervisor is gone, however it went: the line ends then.
Nothing of clients or tokens is ever said on it.
"""

import asyncio
import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

VARIABLE = "_CERTBOUND_PLACE"
"""Number, line and listening sockets, as a worker's environment has them: ``2:7:4,5``."""

READY, NOT_READY = b"ready\n", b"not ready\n"
"""A worker's words."""
COMPLETE, INCOMPLETE = b"complete\n", b"incomplete\n"
"""The supervisor's words: whether all workers are ready."""
HAND_OVER, STOP = b"hand over\n", b"stop\n"
"""Let another worker take what comes; end as SIGTERM does."""

LOOK = 0.25
"""Seconds between a worker's looks at whether it is still ready."""


@dataclass(slots=True)
class Place:
    """Where this process stands."""

    number: int
    """From 1; a worker that replaces another has its number."""
    sockets: list[socket.socket]
    line: socket.socket
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hand_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_first(self) -> bool:
        """Of all workers one is: for what must be done once on a machine."""
        return self.number == 1

    async def keep_in_step(
        self, ready: Callable[[], bool], all_ready: Callable[[bool], None]
    ) -> None:
        """Tell the supervisor how it stands here, and do what it says; endless.

        `all_ready` hears of all workers, this one among them.
        """
        reader, writer = await asyncio.open_unix_connection(sock=self.line)
        telling = asyncio.ensure_future(_tell(writer, ready))
        try:
            await self._listen(reader, all_ready)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await telling
            writer.close()

    async def _listen(
        self, reader: asyncio.StreamReader, all_ready: Callable[[bool], None]
    ) -> None:
        with suppress(OSError):
            while word := await reader.readline():
                if word in (COMPLETE, INCOMPLETE):
                    all_ready(word == COMPLETE)
                elif word == HAND_OVER:
                    self.hand_over.set()
                else:
                    self.stop.set()
        self.stop.set()  # nobody is there to replace us, or to tell us anything


async def _tell(writer: asyncio.StreamWriter, ready: Callable[[], bool]) -> None:
    told: bool | None = None
    while True:
        now = ready()
        if now is not told:
            writer.write(READY if now else NOT_READY)
            await writer.drain()
            told = now
        await asyncio.sleep(LOOK)


def taken(environ: MutableMapping[str, str] = os.environ) -> Place | None:
    """The place that a supervisor gave this process; None: it was started by somebody else."""
    text = environ.pop(VARIABLE, None)
    if text is None:
        return None
    number, line, listening = text.split(":")
    return Place(
        int(number),
        [socket.socket(fileno=int(each)) for each in listening.split(",")],
        socket.socket(fileno=int(line)),
    )


def given(number: int, line: socket.socket, listening: Sequence[socket.socket]) -> str:
    """The same as text, for the environment of a worker."""
    numbers = ",".join(str(each.fileno()) for each in listening)
    return f"{number}:{line.fileno()}:{numbers}"
