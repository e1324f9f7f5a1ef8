"""Names to addresses, in threads that may hang.

Guarantees: whatever the resolver does, it holds no pool, no event loop and no exit; a name that
hangs holds one look-up however often it is asked for, and all that ask share its answer; names
whose last look-up hung have `HANGING` places together, so that however many they are the others get
theirs; addresses need no resolver. Waits without end: the caller sets the time. Judges no address
(`app.jose.addresses`).

Not guaranteed: a place while `LOOKUPS` names that never hung before all hang at once. That lasts
until the operating system gives them up, some 30 seconds; from then on they are known.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future

LOOKUPS = 64
"""Under way at once, one for each name: a thread each that sleeps, of some 20 KiB."""
HANGING = 8
"""Of these, for names whose last look-up hung. Each gets a turn when another is given up."""
HANGS_AFTER = 2.0
"""Seconds after which a look-up hangs: as long as the shortest time limit of a fetch."""
_REMEMBERED = 4096
"""Names that hung; operators configure fewer."""

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, blocking; raises OSError."""


class ResolverBusy(Exception):
    """As many other names as may be are being looked up, or hang as this one did."""


def system_resolve(host: str, port: int) -> Sequence[str]:
    """As the operating system does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Lookups:
    """The look-ups of one process under way; no answer is kept."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[str, _Lookup] = {}
        self._hung: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses of `host`; an address is its own.

        Raises:
            ResolverBusy: nobody was asked.
            OSError, UnicodeError: what the resolver raises.

        """
        if _is_address(host):
            return (host,)
        return await asyncio.wrap_future(self._look_up(host, port))

    def _look_up(self, host: str, port: int) -> Future[Sequence[str]]:
        with self._lock:
            if (found := self._under_way.get(host)) is not None:
                return found.answer
            if not self._has_place(host):
                raise ResolverBusy
            lookup = self._under_way[host] = _Lookup()

        def work() -> None:
            addresses: Sequence[str] = ()
            failure = None
            try:
                addresses = self._resolve(host, port)
            except Exception as error:  # noqa: BLE001  # handed to those who wait
                failure = error
            with self._lock:
                self._note(host, hung=lookup.hangs)
                del self._under_way[host]
            if failure is None:
                lookup.answer.set_result(addresses)
            else:
                lookup.answer.set_exception(failure)

        threading.Thread(target=work, name="url-resolver", daemon=True).start()
        return lookup.answer

    def _has_place(self, host: str) -> bool:
        if len(self._under_way) >= LOOKUPS:
            return False
        if host not in self._hung:
            return True
        hanging = [name for name, at in self._under_way.items() if at.hangs or name in self._hung]
        return len(hanging) < HANGING

    def _note(self, host: str, *, hung: bool) -> None:
        self._hung.pop(host, None)
        if hung:
            self._hung[host] = None
            while len(self._hung) > _REMEMBERED:
                self._hung.popitem(last=False)


class _Lookup:
    """One name being looked up."""

    def __init__(self) -> None:
        self.answer: Future[Sequence[str]] = Future()
        self.answer.set_running_or_notify_cancel()  # one who gives up does not end it for others
        self._began = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Whether it takes longer than any answer should."""
        return time.monotonic() - self._began > HANGS_AFTER


def _is_address(host: str) -> bool:
    """Whether it is an address in its one proper spelling; ``127.1`` goes to the resolver."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
