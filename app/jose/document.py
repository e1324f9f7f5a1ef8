"""Fetching a small JSON document from a URL that a client registered, as if it were hostile.

Guarantees: https only; the address that was judged is the address that is connected to (the name
is resolved once, so it cannot be rebound in between), while certificate and SNI are checked
against the name; no redirect, cookie, proxy or credential; `TIME_LIMIT` seconds in all, name
resolution included; at most `MAX_DOCUMENT` octets read. Says nothing about what the document means.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.jose.addresses import objection

if TYPE_CHECKING:
    import httpx2

TIME_LIMIT = 2.0
"""Seconds for everything: a token request may be waiting."""
CONNECT_LIMIT = 0.8
"""Seconds for one address, so that a dead first one leaves time for a second."""
MAX_ADDRESSES = 4
MAX_DOCUMENT = 64 * 1024
"""Octets; as `app.jose.jwks.MAX_SET`."""
MAX_URL = 2048
RESOLVER_THREADS = 8
"""Look-ups under way at once. A hung resolver holds these and nothing else of the process."""
CONTENT_TYPES = frozenset({"application/json", "application/jwk-set+json"})

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, blocking; raises OSError."""


class FetchRefused(ValueError):
    """The URL, or an address behind it, is one we do not fetch from."""


class FetchFailed(Exception):
    """The document could not be had, in time or in form."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart by `examine_url`."""

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"  # noqa: PLR2004  # the https port


def examine_url(url: str) -> Target:
    """The parts of a URL that may be registered as `jwks_uri`. Resolves nothing.

    Raises:
        FetchRefused: it is not plain https; the message is for people.

    """
    if len(url) > MAX_URL or not all("!" <= c <= "~" and c not in '"\\<>^`{|}' for c in url):
        raise FetchRefused(f"the URL must be printable ASCII of at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise FetchRefused("the URL cannot be read") from None
    if parts.scheme != "https":
        raise FetchRefused("the URL must begin with https://")
    if "#" in url:
        raise FetchRefused("the URL must have no fragment")
    if "@" in parts.netloc:
        raise FetchRefused("the URL must hold no user name or password")
    host = re.sub(r":[0-9]*\Z", "", parts.netloc)
    if not _HOST.fullmatch(host) or port == 0:
        raise FetchRefused("the URL must name a host and, if any, a port from 1 to 65535")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host.strip("[]").lower(), port or 443, path)


def _system_resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class RemoteDocuments:
    """Fetches documents under one policy. One per process; holds no connection between fetches."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        ca_file: Path | None = None,
        resolve: Resolve = _system_resolve,
    ) -> None:
        self._allow_private = allow_private
        self._ca_file = ca_file
        self._resolve = resolve
        self._resolver_slots = threading.BoundedSemaphore(RESOLVER_THREADS)
        self._context: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> bytes:
        """The document at `url`.

        Raises:
            FetchRefused: the URL or one of its addresses is not fetched from.
            FetchFailed: no such document within the limits.

        """
        target = examine_url(url)
        try:
            async with asyncio.timeout(TIME_LIMIT):
                addresses = await self._addresses(target)
                return await self._from_first(target, addresses)
        except TimeoutError:
            raise FetchFailed(f"no complete answer within {TIME_LIMIT:g} seconds") from None

    async def _addresses(self, target: Target) -> Sequence[str]:
        """All addresses of the host, each of them judged; one bad one spoils the name."""
        try:
            addresses = await self._resolve_aside(target)
        except (OSError, UnicodeError):
            raise FetchFailed(f"the name {target.host} does not resolve") from None
        for address in addresses:
            if why := objection(address, allow_private=self._allow_private):
                raise FetchRefused(f"{target.host} has the address {address}: {why}")
        if not addresses:
            raise FetchFailed(f"the name {target.host} has no address")
        return addresses[:MAX_ADDRESSES]

    async def _resolve_aside(self, target: Target) -> Sequence[str]:
        """`resolve` in a daemon thread: it may hang without holding up a pool or the exit."""
        if not self._resolver_slots.acquire(blocking=False):
            raise FetchFailed("the name resolver does not answer")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def deliver(addresses: Sequence[str] | None, error: BaseException | None) -> None:
            if answer.done():  # nobody waits any more
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(addresses or ())

        def work() -> None:
            addresses, failure = None, None
            try:
                addresses = self._resolve(target.host, target.port)
            except Exception as error:  # noqa: BLE001  # handed to the one who waits
                failure = error
            finally:
                self._resolver_slots.release()
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(deliver, addresses, failure)

        threading.Thread(target=work, name="jwks-uri-resolver", daemon=True).start()
        return await answer

    async def _from_first(self, target: Target, addresses: Sequence[str]) -> bytes:
        import httpx2  # noqa: PLC0415  # 65 ms of start-up that most deployments never need

        if self._context is None:
            try:
                self._context = await asyncio.to_thread(self._make_context)
            except OSError as error:
                raise FetchFailed(f"the CA file {self._ca_file} cannot be used: {error}") from error
        problem = ""
        for address in addresses:
            transport = httpx2.AsyncHTTPTransport(verify=self._context, trust_env=False)
            try:
                async with transport:
                    return await self._get(transport, target, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = f"{address}: {error}"
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                raise FetchFailed(f"{type(error).__name__}: {error}"[:200]) from error
        raise FetchFailed(f"no connection to {target.authority} ({problem or 'timed out'})"[:200])

    def _make_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        return context

    async def _get(
        self, transport: "httpx2.AsyncHTTPTransport", target: Target, address: str
    ) -> bytes:
        """One request on a bare transport: what a client would add is not there to be misused."""
        import httpx2  # noqa: PLC0415  # as above

        host = f"[{address}]" if ":" in address else address
        limits = dict.fromkeys(("read", "write", "pool"), TIME_LIMIT) | {"connect": CONNECT_LIMIT}
        request = httpx2.Request(
            "GET",
            f"https://{host}:{target.port}{target.path}",
            headers={
                "Host": target.authority,
                "Accept": ", ".join(sorted(CONTENT_TYPES)),
                "Accept-Encoding": "identity",
                "Connection": "close",
                "User-Agent": "certbound",
            },
            extensions={"sni_hostname": target.host, "timeout": limits},
        )
        response = await transport.handle_async_request(request)
        try:
            _examine_head(response)
            return await _read(response.aiter_raw())
        finally:
            await response.aclose()


def _examine_head(response: "httpx2.Response") -> None:
    if response.status_code != 200:  # noqa: PLR2004  # anything else, redirects too, is no document
        raise FetchFailed(f"the answer has status {response.status_code}; needed is 200")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in CONTENT_TYPES:
        raise FetchFailed("the answer's Content-Type is not application/json or jwk-set+json")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed("the answer is compressed although that was not asked for")


async def _read(chunks: AsyncIterator[bytes]) -> bytes:
    document = bytearray()
    async for chunk in chunks:
        document += chunk
        if len(document) > MAX_DOCUMENT:
            raise FetchFailed(f"the document is larger than {MAX_DOCUMENT} octets")
    return bytes(document)
