"""Names to addresses, in threads that may hang.

Guarantees: whatever the resolver does, it holds no pool, no event loop and no exit; a name that
hangs holds one look-up however often it is asked for, and all that ask share its answer; addresses
need no resolver. Waits without end: the caller sets the time. Judges no address
(`app.jose.addresses`).
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

RESOLVER_THREADS = 8
"""Look-ups under way at once, one for each name. A name whose servers hang holds one of them."""

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, blocking; raises OSError."""


class ResolverBusy(Exception):
    """As many other names as may be are being looked up."""


def system_resolve(host: str, port: int) -> Sequence[str]:
    """As the operating system does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Lookups:
    """The look-ups of one process under way; no answer is kept."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[str, Future[Sequence[str]]] = {}
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
                return found
            if len(self._under_way) >= RESOLVER_THREADS:
                raise ResolverBusy
            answer: Future[Sequence[str]] = Future()
            answer.set_running_or_notify_cancel()  # one who gives up does not end it for others
            self._under_way[host] = answer

        def work() -> None:
            addresses: Sequence[str] = ()
            failure = None
            try:
                addresses = self._resolve(host, port)
            except Exception as error:  # noqa: BLE001  # handed to those who wait
                failure = error
            with self._lock:
                del self._under_way[host]
            if failure is None:
                answer.set_result(addresses)
            else:
                answer.set_exception(failure)

        threading.Thread(target=work, name="url-resolver", daemon=True).start()
        return answer


def _is_address(host: str) -> bool:
    """Whether it is an address in its one proper spelling; ``127.1`` goes to the resolver."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
