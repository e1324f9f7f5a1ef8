"""A worker's place among the others: its number, the sockets it inherited, the line to its supervisor.

Guarantees that a worker ends when its supervisor is gone, however it went: the line ends then; and
that its event loop says each second that it still turns. Nothing of clients or tokens is ever said
on the line: words, and counts that hold none.
"""

import asyncio
import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.workers.totals import Report, Reports

VARIABLE = "_CERTBOUND_PLACE"
"""Number, line, listening and operations sockets in a worker's environment: ``2:7:4,5:6``."""

SPARE = 0
"""The number of a worker that is prepared for whichever place becomes free."""

READY, NOT_READY = b"ready\n", b"not ready\n"
"""A worker's words."""
BEAT, TOLD = b"beat ", b"told "
"""Its event loop turns, and its report follows: of itself, and when it was told to `TELL`."""
ASK = b"ask\n"
"""A worker wants to know what all have counted."""
COMPLETE, INCOMPLETE = b"complete\n", b"incomplete\n"
"""The supervisor's words: whether all workers are ready."""
HAND_OVER, STOP, TELL = b"hand over\n", b"stop\n", b"tell\n"
"""Let another worker take what comes; end as SIGTERM does; report now."""
TAKE, SUM = b"take ", b"sum "
"""To a spare, its number; the answer to `ASK`."""

LINE_LIMIT = 8 * 1024 * 1024
"""Octets of one line: some 50,000 series, of which there are a few hundred."""
LOOK = 0.25
"""Seconds between a worker's looks at whether it is still ready."""
LOOKS_A_BEAT = 4
"""So it beats each second."""
ANSWER_LIMIT = 3.0
"""Seconds that whoever asks for the sum waits: the supervisor takes one at most."""


class Unanswered(Exception):
    """The supervisor did not say what all have counted."""


@dataclass(slots=True)
class Place:
    """Where this process stands."""

    number: int
    """From 1; a worker that replaces another has its number. `SPARE` until there is one."""
    sockets: list[socket.socket]
    operations: list[socket.socket]
    """Those of the operations listener, of which any worker answers; none: there is no such."""
    line: socket.socket
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hand_over: asyncio.Event = field(default_factory=asyncio.Event)
    _look: asyncio.Event = field(default_factory=asyncio.Event)
    _writer: asyncio.StreamWriter | None = None
    _asking: list["asyncio.Future[Reports]"] = field(default_factory=list)

    def until_wanted(self) -> bool:
        """Wait, as a spare, for a number. False: there will be none, the supervisor is gone.

        Blocks: nothing else happens in a spare.
        """
        while self.number == SPARE:
            word = bytearray()
            while not word.endswith(b"\n"):  # octet by octet: what follows is for the event loop
                if not (octet := self.line.recv(1)):
                    return False
                word += octet
            if word.startswith(TAKE):
                self.number = int(word[len(TAKE) :])
            elif word == STOP:
                return False
        return True

    async def keep_in_step(
        self,
        ready: Callable[[], bool],
        all_ready: Callable[[bool], None],
        report: Callable[[], Report],
    ) -> None:
        """Tell the supervisor how it stands here, and do what it says; endless.

        `all_ready` hears of all workers, this one among them. `report` gives what was counted
        since it was called last.
        """
        reader, self._writer = await asyncio.open_unix_connection(sock=self.line, limit=LINE_LIMIT)
        telling = asyncio.ensure_future(self._tell(self._writer, ready, report))
        try:
            await self._listen(reader, all_ready, report)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await telling
            self._say(BEAT + report().encoded())  # the last
            self._writer.close()

    def look(self) -> None:
        """Something changed: do not wait for the next look."""
        self._look.set()

    async def counted(self) -> Reports:
        """What all workers have counted. Raises `Unanswered`."""
        answer: asyncio.Future[Reports] = asyncio.get_running_loop().create_future()
        self._asking.append(answer)
        self._say(ASK)
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return await answer
        except TimeoutError as error:
            raise Unanswered from error
        finally:
            if answer in self._asking:
                self._asking.remove(answer)

    async def _listen(
        self,
        reader: asyncio.StreamReader,
        all_ready: Callable[[bool], None],
        report: Callable[[], Report],
    ) -> None:
        with suppress(OSError):
            while word := await reader.readline():
                if word in (COMPLETE, INCOMPLETE):
                    all_ready(word == COMPLETE)
                elif word == HAND_OVER:
                    self.hand_over.set()
                elif word == TELL:
                    self._say(TOLD + report().encoded())
                elif word.startswith(SUM):
                    self._answer(Reports.decoded(word[len(SUM) :]))
                else:
                    self.stop.set()
        self.stop.set()  # nobody is there to replace us, or to tell us anything

    def _say(self, word: bytes) -> None:
        """To the supervisor; one that has gone does not hear it."""
        with suppress(OSError, RuntimeError):
            if self._writer is not None:
                self._writer.write(word)

    def _answer(self, reports: Reports) -> None:
        """To whoever asked first, and still waits."""
        if self._asking and not (first := self._asking.pop(0)).done():
            first.set_result(reports)

    async def _tell(
        self,
        writer: asyncio.StreamWriter,
        ready: Callable[[], bool],
        report: Callable[[], Report],
    ) -> None:
        told: bool | None = None
        looks = 0
        while True:
            self._look.clear()
            now = ready()
            if now is not told:
                writer.write(READY if now else NOT_READY)
                told = now
            if looks == 0:
                writer.write(BEAT + report().encoded())
            await writer.drain()
            try:
                async with asyncio.timeout(LOOK):
                    await self._look.wait()
            except TimeoutError:
                looks = (looks + 1) % LOOKS_A_BEAT


def taken(environ: MutableMapping[str, str] = os.environ) -> Place | None:
    """The place that a supervisor gave this process; None: it was started by somebody else."""
    text = environ.pop(VARIABLE, None)
    if text is None:
        return None
    number, line, listening, operations = text.split(":")
    return Place(
        int(number), _sockets(listening), _sockets(operations), socket.socket(fileno=int(line))
    )


def given(
    number: int,
    line: socket.socket,
    listening: Sequence[socket.socket],
    operations: Sequence[socket.socket],
) -> str:
    """The same as text, for the environment of a worker."""
    return f"{number}:{line.fileno()}:{_numbers(listening)}:{_numbers(operations)}"


def _numbers(sockets: Sequence[socket.socket]) -> str:
    return ",".join(str(each.fileno()) for each in sockets)


def _sockets(numbers: str) -> list[socket.socket]:
    return [socket.socket(fileno=int(each)) for each in numbers.split(",") if each]
