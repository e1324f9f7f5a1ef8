"""Which certificate the caller of a request has, and who says so.

Guarantees that a `Presented` with a thumbprint was made from a certificate whose key was proven:
by our own listener, by the server behind the ASGI ``tls`` extension, or by a proxy that proved
itself with a certificate pinned here. A certificate header from anybody else is refused, not
ignored: who sends one either attacks or is misconfigured. Nothing is said about who issued it:
for a bound token only the thumbprint counts, and the authorization server looked at the rest.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.binding import client_cert_header
from app.errors import Finding, Reason, Refused
from app.tls.peer import PeerCertificate, thumbprint

Scope = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Presented:
    """The caller's certificate, of which the hash is enough."""

    thumbprint: str | None
    """``x5t#S256``; None: no certificate."""
    termination: str = "direct"
    """Who ended TLS: ``direct``, a proxy's name, or ``unknown`` where nobody tells."""

    @classmethod
    def of(cls, der: bytes | None, termination: str = "direct") -> "Presented":
        """From a DER certificate whose key the caller has proven to hold."""
        return cls(thumbprint(der) if der else None, termination)


MAX_PEM = 48 * 1024
"""Characters: more than the largest chain that our own listener takes."""
UNKNOWN = Presented(None, "unknown")
"""Neither listener nor proxy says anything of certificates: no bound token is accepted."""

Source = Callable[[Scope], Presented]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in front that is believed, known by its own TLS certificate."""

    name: str
    thumbprint: str
    """``x5t#S256`` of the certificate with which it connects to this resource."""
    form: str = "rfc9440"
    """A row of `app.binding.client_cert_header.FORMS`."""

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z0-9_-]{43}", self.thumbprint):
            raise ValueError("thumbprint is the SHA-256 of the DER in base64url, 43 characters")
        if self.form not in client_cert_header.FORMS:
            raise ValueError(f"form must be one of {', '.join(client_cert_header.FORMS)}")


class Connection:
    """The source for ASGI: the connection itself, or, behind `proxies`, the header they write."""

    def __init__(self, proxies: Iterable[Proxy] = ()) -> None:
        self._proxies = {proxy.thumbprint: proxy for proxy in proxies}

    def __call__(self, scope: Scope) -> Presented:
        """The certificate of the caller of one request.

        Raises:
            Refused: a certificate header that must not be there, or cannot be read.

        """
        peer = of_connection(scope)
        proxy = None if peer.thumbprint is None else self._proxies.get(peer.thumbprint)
        headers = _certificate_headers(scope)
        if proxy is None:
            if headers:
                raise _untrusted(peer)
            return peer
        name, decode = client_cert_header.FORMS[proxy.form]
        client_cert_header.require_bounded(headers.get(client_cert_header.CHAIN, ()))
        if any(b"_" in each for each in headers):
            raise _untrusted(peer)  # an underscore twin: some stacks would read it as the header
        return Presented.of(decode(headers.get(name, ())), proxy.name)


def of_connection(scope: Scope) -> Presented:
    """Who is at the other end of the TLS connection, by whatever the server tells."""
    state = scope.get("state")
    if state is not None and "certbound.peer" in state:
        peer: PeerCertificate | None = state["certbound.peer"]
        return Presented(None) if peer is None else Presented(peer.thumbprint, peer.termination)
    extensions = scope.get("extensions")
    extension = extensions.get("tls") if isinstance(extensions, Mapping) else None
    return Presented.of(_of_extension(extension)) if isinstance(extension, Mapping) else UNKNOWN


def _of_extension(extension: Mapping[str, Any]) -> bytes | None:
    """The leaf, from either shape: ``client_cert`` (DER), or ``client_cert_chain`` (PEM, leaf first).

    Where the server says that something was wrong with the certificate, or what it says cannot be
    read, there is none.
    """
    if extension.get("client_cert_error"):
        return None
    der = extension.get("client_cert")
    if isinstance(der, bytes):
        return der or None
    chain = extension.get("client_cert_chain")
    leaf = next(iter(chain), None) if isinstance(chain, Iterable) else None
    if not isinstance(leaf, str) or not leaf.isascii() or len(leaf) > MAX_PEM:
        return None
    try:
        return client_cert_header.of_pem(leaf.encode())
    except Refused:
        return None


_WATCHED = frozenset({client_cert_header.CHAIN, *(n for n, _ in client_cert_header.FORMS.values())})


def _certificate_headers(scope: Scope) -> dict[bytes, list[bytes]]:
    """Every header that could pass for one with a certificate, by its name in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for raw, value in scope["headers"]:
        name = raw.lower()
        if name.replace(b"_", b"-") in _WATCHED:
            found.setdefault(name, []).append(value)
    return found


def _untrusted(peer: Presented) -> Refused:
    return Refused(
        Finding(
            "certificate header",
            f"from {peer.thumbprint or 'a caller without certificate'}",
            "a certificate header only from a pinned proxy",
            "Pin the proxy's own certificate, or let nothing send this header.",
            Reason.HEADER_UNTRUSTED_PEER,
        )
    )
