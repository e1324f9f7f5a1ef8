"""Which ``Host`` the operations listener answers to: against DNS rebinding.

Guarantees: where it listens on this machine alone, a web page cannot read it. A page may have its
own name resolved to 127.0.0.1, and the browser then takes the answer for the page's own; but it
sends that name as ``Host``. An IP literal or ``localhost`` no page can have. Where it listens to a
network, monitors call it by any name, and the network is what keeps others away.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def answering_to_own_names(app: ASGIApp, host: str) -> ASGIApp:
    """`app`, which listens on the address `host`; others are told 421 Misdirected Request."""
    if not _is_loopback(host):
        return app

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        named = Headers(scope=scope).getlist("host")
        if all(map(_is_own, named)):
            await app(scope, receive, send)
            return
        told = PlainTextResponse("Ask for localhost, or by IP address.\n", status_code=421)
        await told(scope, receive, send)

    return guarded


def _is_own(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.removeprefix("[").removesuffix("]").rstrip(".").lower()
    return name == "localhost" or _address(name) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
