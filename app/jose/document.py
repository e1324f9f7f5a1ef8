"""Fetching a document from a URL that somebody registered, as if it were hostile.

Guarantees: only the schemes that the `Limits` name (https alone, unless the content is signed by
itself); the address that was judged is the address that is connected to (the name is resolved
once, so it cannot be rebound in between), while certificate and SNI are checked against the name;
no redirect, cookie, proxy or credential; the seconds and octets of the `Limits` and no more, name
resolution included. One name that does not resolve in time takes nothing from the others, and
addresses need no resolver. Says nothing about what the document means.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.jose.addresses import objection
from app.jose.lookups import Lookups, Resolve, ResolverBusy, system_resolve
from app.jose.strict_tls import strict

if TYPE_CHECKING:
    import httpx2

TIME_LIMIT = 2.0
"""Seconds for everything: a token request may be waiting."""
CONNECT_LIMIT = 0.8
"""Seconds for one address, so that a dead first one leaves time for a second."""
MAX_ADDRESSES = 4
MAX_DOCUMENT = 64 * 1024
"""Octets; as `app.jose.jwks.MAX_SET`."""
UNPLACED = 1024 * 1024
"""Octets of a document that are read without a place (see `Limits.place`)."""
MAX_URL = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one kind of document may cost and look like."""

    seconds: float = TIME_LIMIT
    """For everything, name resolution included."""
    connect_seconds: float = CONNECT_LIMIT
    """For one address."""
    octets: int = MAX_DOCUMENT
    content_types: frozenset[str] | None = frozenset(
        {"application/json", "application/jwk-set+json"}
    )
    """None: whatever the server calls it."""
    schemes: frozenset[str] = frozenset({"https"})
    """Plain http only for what carries its own signature."""
    place: Callable[[], Awaitable[object]] | None = None
    """Awaited when a document outgrows `UNPLACED`: whoever fetches large ones bounds here how many
    are held at once. What sends nothing needs no place, and keeps none from others."""


JSON_DOCUMENT = Limits()
"""A JSON document that a token request may be waiting for."""

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


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
    scheme: str = "https"

    @property
    def authority(self) -> str:
        """As in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def examine_url(url: str, schemes: frozenset[str] = JSON_DOCUMENT.schemes) -> Target:
    """The parts of a URL that may be registered, as `jwks_uri` for instance. Resolves nothing.

    Raises:
        FetchRefused: it is no plain URL of one of `schemes`; the message is for people.

    """
    if len(url) > MAX_URL or not all("!" <= c <= "~" and c not in '"\\<>^`{|}' for c in url):
        raise FetchRefused(f"the URL must be printable ASCII of at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise FetchRefused("the URL cannot be read") from None
    if parts.scheme not in schemes or parts.scheme not in DEFAULT_PORTS:
        starts = " or ".join(f"{scheme}://" for scheme in sorted(schemes, reverse=True))
        raise FetchRefused(f"the URL must begin with {starts}")
    if "#" in url:
        raise FetchRefused("the URL must have no fragment")
    if "@" in parts.netloc:
        raise FetchRefused("the URL must hold no user name or password")
    host = re.sub(r":[0-9]*\Z", "", parts.netloc)
    if not _HOST.fullmatch(host) or port == 0:
        raise FetchRefused("the URL must name a host and, if any, a port from 1 to 65535")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = port or DEFAULT_PORTS[parts.scheme]
    return Target(host.strip("[]").lower(), port, path, parts.scheme)


@dataclass(frozen=True, slots=True)
class Question:
    """What is posted where a document is asked for by its content (OCSP)."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document, and how long its server says it may be kept."""

    body: bytes
    max_age: int | None
    """Seconds, of ``Cache-Control``; None where nothing usable is said."""


@dataclass(frozen=True, slots=True)
class _Errand:
    target: Target
    limits: Limits
    question: Question | None

    def headers(self) -> dict[str, str]:
        accepted = self.limits.content_types
        headers = {
            "Host": self.target.authority,
            "Accept": "*/*" if accepted is None else ", ".join(sorted(accepted)),
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "certbound",
        }
        if self.question is not None:
            headers["Content-Type"] = self.question.content_type
            headers["Content-Length"] = str(len(self.question.body))
        return headers


class RemoteDocuments:
    """Fetches documents under one policy. One per process; holds no connection between fetches."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        ca_file: Path | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._allow_private = allow_private
        self._ca_file = ca_file
        self._lookups = Lookups(resolve)
        self._context: ssl.SSLContext | None = None

    async def fetch(
        self, url: str, limits: Limits = JSON_DOCUMENT, question: Question | None = None
    ) -> bytes:
        """The document at `url`, or the answer there to a posted `question`.

        Raises:
            FetchRefused: the URL or one of its addresses is not fetched from.
            FetchFailed: no such document within the limits.

        """
        return (await self.obtain(url, limits, question)).body

    async def obtain(
        self, url: str, limits: Limits = JSON_DOCUMENT, question: Question | None = None
    ) -> Fetched:
        """As `fetch`, with what its server says about keeping it."""
        errand = _Errand(examine_url(url, limits.schemes), limits, question)
        try:
            async with asyncio.timeout(limits.seconds):
                addresses = await self._addresses(errand.target)
                return await self._from_first(errand, addresses)
        except TimeoutError:
            raise FetchFailed(f"no complete answer within {limits.seconds:g} seconds") from None

    async def _addresses(self, target: Target) -> Sequence[str]:
        """All addresses of the host, each of them judged; one bad one spoils the name."""
        try:
            addresses = await self._lookups.addresses(target.host, target.port)
        except (OSError, UnicodeError):
            raise FetchFailed(f"the name {target.host} does not resolve") from None
        except ResolverBusy:
            raise FetchFailed("the name resolver does not answer") from None
        for address in addresses:
            if why := objection(address, allow_private=self._allow_private):
                raise FetchRefused(f"{target.host} has the address {address}: {why}")
        if not addresses:
            raise FetchFailed(f"the name {target.host} has no address")
        return addresses[:MAX_ADDRESSES]

    async def _from_first(self, errand: _Errand, addresses: Sequence[str]) -> Fetched:
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
                    return await self._get(transport, errand, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = f"{address}: {error}"
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                raise FetchFailed(f"{type(error).__name__}: {error}"[:200]) from error
        authority = errand.target.authority
        raise FetchFailed(f"no connection to {authority} ({problem or 'timed out'})"[:200])

    def _make_context(self) -> ssl.SSLContext:
        context = strict(ssl.create_default_context())
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        return context

    async def _get(
        self, transport: "httpx2.AsyncHTTPTransport", errand: _Errand, address: str
    ) -> Fetched:
        """One request on a bare transport: what a client would add is not there to be misused."""
        import httpx2  # noqa: PLC0415  # as above

        target, limits, question = errand.target, errand.limits, errand.question
        host = f"[{address}]" if ":" in address else address
        seconds = dict.fromkeys(("read", "write", "pool"), limits.seconds)
        request = httpx2.Request(
            "GET" if question is None else "POST",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers=errand.headers(),
            content=None if question is None else question.body,
            extensions={
                "sni_hostname": target.host,
                "timeout": seconds | {"connect": limits.connect_seconds},
            },
        )
        response = await transport.handle_async_request(request)
        try:
            _examine_head(response, limits)
            body = await _read(response.aiter_raw(), limits)
            return Fetched(body, _max_age(response.headers.get("Cache-Control", "")))
        finally:
            await response.aclose()


def _examine_head(response: "httpx2.Response", limits: Limits) -> None:
    if response.status_code != 200:  # noqa: PLR2004  # anything else, redirects too, is no document
        raise FetchFailed(f"the answer has status {response.status_code}; needed is 200")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    accepted = limits.content_types
    if accepted is not None and media_type not in accepted:
        raise FetchFailed(f"the answer's Content-Type is not {' or '.join(sorted(accepted))}")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed("the answer is compressed although that was not asked for")


def _max_age(cache_control: str) -> int | None:
    """RFC 9111 section 5.2.2.1, and 0 where the answer is not to be kept at all."""
    directives = [each.strip().lower() for each in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    ages = [each[8:].strip('"') for each in directives if each.startswith("max-age=")]
    return int(ages[0]) if len(ages) == 1 and re.fullmatch("[0-9]{1,9}", ages[0]) else None


async def _read(chunks: AsyncIterator[bytes], limits: Limits) -> bytes:
    document, placed = bytearray(), limits.place is None
    async for chunk in chunks:
        document += chunk
        if len(document) > limits.octets:
            raise FetchFailed(f"the document is larger than {limits.octets} octets")
        if not placed and limits.place is not None and len(document) > UNPLACED:
            placed = True
            await limits.place()
    return bytes(document)
