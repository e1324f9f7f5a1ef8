"""The life of one serving process: opened, in step with its neighbours, gracefully ended.

Guarantees: a database that does not answer at the start is waited for, alive and not ready; ready
is who accepts connections and has a database; what was opened is closed in the opposite order.
"""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from app.config import Settings
from app.counts import Counts
from app.endpoints.front import Front
from app.main import House, open_house
from app.ops import listener as ops_listener
from app.ops.face import Face
from app.ops.figures import LastFigures
from app.ops.whole import Changes, Counted
from app.store.engine import StoreUnavailable
from app.store.listening import Listening
from app.telemetry import configure, log
from app.tls import listener
from app.tls.limits import Limits
from app.traces import Traces, begin
from app.workers.place import Place, Unanswered
from app.workers.totals import Report

CRL_LOADING = 60.0
"""Seconds that a start waits at most for CRLs: 50 MB take two."""

YOUNG = 10_000
"""New objects, less those gone, at which the garbage collector looks for cycles: its own 700 are
fewer than what a dozen requests have in work, none of which is garbage."""

RETRY = 1.0
"""Seconds between looks for a database that was not there at the start."""

LAST_TRACES = 3.0
"""Seconds that the last spans have to leave."""

Announce = Callable[[list[tuple[str, int]]], None]
"""Gets the bound addresses, host and port."""


def serve(
    settings: Settings, announce: Announce = lambda _: None, place: Place | None = None
) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a graceful stop. `place` is this worker's, of several.

    `announce` is called once, when both listeners accept connections and tokens can be issued. A
    database that does not answer is waited for, not ready. Raises what else `open_house` raises,
    and OSError or CertificateFileError where the listeners cannot be opened.
    """
    configure(settings.log_format, settings.log_level, place.number if place else None)
    with asyncio.Runner(loop_factory=listener.loop_factory(settings.event_loop)) as runner:
        runner.run(_Serving(settings, announce, place).run())
    return 0


@dataclass(slots=True)
class _Serving:
    """One process from its start to its end."""

    settings: Settings
    announce: Announce
    place: Place | None
    front: Front = field(default_factory=Front)
    house: House | None = None
    face: Face | None = None
    counts: Counts = field(default_factory=Counts)
    certificate_end: int | None = None
    """Of the server certificate that new connections get."""
    addresses: list[tuple[str, int]] | None = None
    """Of the listeners, once they accept."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    others_ready: bool = True
    traces: Traces | None = None

    async def run(self) -> None:
        """Open, serve, close. Raises as `serve`."""
        settings, place = self.settings, self.place
        if place is not None:
            self.stop, self.others_ready = place.stop, False
        async with AsyncExitStack() as stack:
            if settings.traces:
                self.traces = begin(settings.traces_from_callers, place.number if place else None)
                stack.callback(self.traces.close, LAST_TRACES)
            opening = await self._begin(stack)
            step = asyncio.ensure_future(self._keep_in_step())
            try:
                await listener.serve(
                    self.front,
                    host=settings.host,
                    ports=(settings.port, settings.mtls_port),
                    certificate_file=settings.tls_certificate_file,
                    key_file=settings.tls_key_file,
                    limits=_limits(settings),
                    on_started=self._started,
                    on_stopping=self._stopping,
                    on_certificate=self._hear_certificate,
                    counts=self.counts,
                    stop=self.stop,
                    hand_over=place.hand_over if place else None,
                    sockets=place.sockets if place else None,
                )
            finally:
                await _cancelled(step)
                await _cancelled(opening)

    async def _begin(self, stack: AsyncExitStack) -> "asyncio.Future[None]":
        """Open the house now, or go on trying; what is under way then."""
        try:
            await self._move_in(open_house(self.settings, self.counts, self.traces), stack)
        except StoreUnavailable as error:
            if error.lasting:
                raise
            return asyncio.ensure_future(self._wait_for_the_database(error, stack))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _wait_for_the_database(self, why: Exception, stack: AsyncExitStack) -> None:
        """Try until it answers. What else goes wrong ends the process, as at the start."""
        told = ""
        try:
            while self.house is None:
                if repr(why) != told:
                    told = repr(why)
                    log().error("store.unavailable", during="the start; waiting", cause=told)
                await asyncio.sleep(RETRY)
                try:
                    house = await asyncio.to_thread(
                        open_house, self.settings, self.counts, self.traces
                    )
                    await self._move_in(house, stack)
                except StoreUnavailable as error:
                    if error.lasting:
                        raise
                    why = error
            log().info("store.answers")
        finally:
            if self.house is None:
                self.stop.set()

    async def _move_in(self, house: House, stack: AsyncExitStack) -> None:
        """Start what stands on the database; `stack` ends it, in the opposite order."""
        door = house.door
        stack.callback(house.database.dispose)
        stack.callback(house.upkeep.sign_off_last)
        door.journal.start()
        stack.callback(door.journal.close, self.settings.shutdown_timeout)
        door.lookups.start()
        stack.callback(door.lookups.close, self.settings.shutdown_timeout)
        stack.push_async_callback(door.remote_keys.close)
        stack.push_async_callback(house.upkeep.close)
        await self._open_operations(house, stack)
        # A large CRL takes seconds to parse; until then a hard policy would refuse everybody.
        await asyncio.to_thread(door.revocation.wait, CRL_LOADING)
        notices = Listening(house.database, door.snapshots.refresh)
        notices.start()
        stack.callback(notices.close)
        for work in house.upkeep.works():
            stack.push_async_callback(_cancelled, asyncio.ensure_future(work))
        door.lifecycle.others_ready = self.others_ready
        self.house = house
        self.front.app = house.app
        self._look()

    async def _open_operations(self, house: House, stack: AsyncExitStack) -> None:
        """The operations listener; several workers share it, and each answers for all."""
        self.face = Face(house.door, LastFigures(house.database), self.certificate_end)
        stack.push_async_callback(self.face.figures.close)
        settings, place = self.settings, self.place
        if place is None:
            sockets = ops_listener.bound(settings.ops_host, settings.ops_port)
        else:
            sockets, self.face.counted = place.operations, partial(_counted, place)
        await stack.enter_async_context(ops_listener.listening(self.face.app(), sockets))

    def _hear_certificate(self, end: int) -> None:
        self.certificate_end = end
        if self.face is not None:
            self.face.hear_certificate(end)

    def _started(self, addresses: list[tuple[str, int]]) -> None:
        self.addresses = addresses
        self._look()

    def _look(self) -> None:
        """Ready is who accepts connections and has a database."""
        if self.house is not None and self.addresses is not None:
            self.house.door.lifecycle.ready = True
            if self.place is not None:
                self.place.look()
            # What the start has made stays: not to be walked through in search of garbage.
            gc.freeze()
            gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
            self.announce(self.addresses)

    def _stopping(self) -> None:
        if self.house is not None:
            self.house.door.lifecycle.ready = False
        log().info("server.stopping")

    async def _keep_in_step(self) -> None:
        if self.place is not None:
            changes = Changes(self.counts)
            await self.place.keep_in_step(
                self._able, self._hear_of_others, lambda: Report(*changes.take())
            )

    def _able(self) -> bool:
        return self.house is not None and self.house.door.lifecycle.able

    def _hear_of_others(self, ready: bool) -> None:  # noqa: FBT001 - one fact
        self.others_ready = ready
        if self.house is not None:
            self.house.door.lifecycle.others_ready = ready


def _limits(settings: Settings) -> Limits:
    return Limits(
        handshake=settings.handshake_timeout,
        headers=settings.header_timeout,
        body=settings.body_timeout,
        idle=settings.idle_timeout,
        shutdown=settings.shutdown_timeout,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        handshakes_per_address=settings.handshakes_per_address,
    )


async def _counted(place: Place) -> Counted | None:
    """What all workers counted; None: nobody says."""
    try:
        reports = await place.counted()
    except Unanswered:
        return None
    return Counted(reports.sums, reports.levels)


async def _cancelled(task: "asyncio.Future[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
