"""A worker in reserve, so that a crashed one is replaced in a fraction of a second, load or not."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from app.workers import place
from app.workers.worker import Worker


@dataclass(slots=True)
class Spare:
    """A process that has loaded the program and waits for a place: most of a start is done.

    Loading takes 0.8 s of a processor, and three times that where clients keep it busy.
    """

    start: Callable[[int], Awaitable[Worker]]
    _one: Worker | None = None
    _starting: bool = False

    async def prepare(self) -> None:
        """Have one, unless there is one."""
        if self._starting or (self._one is not None and self._one.process.returncode is None):
            return
        self._starting = True
        try:
            self.drop()
            self._one = await self.start(place.SPARE)
        finally:
            self._starting = False

    def take(self, number: int) -> Worker | None:
        """The spare, with this number from now on; None: there is none."""
        one, self._one = self._one, None
        if one is None or one.process.returncode is not None:
            return None
        one.number = number
        one.tell(place.TAKE + b"%d\n" % number)
        return one

    def drop(self) -> None:
        """End it: it is too old, or nobody will need one."""
        one, self._one = self._one, None
        if one is not None:
            one.writer.close()
            with suppress(ProcessLookupError):  # it has ended by itself
                one.process.kill()  # it holds nothing
