"""What an endpoint is told of a request: the ASGI scope.

Guarantees that every scope carries what the handshake brought: ``extensions["tls"]`` (ASGI TLS
extension), ``state["certbound.peer"]`` and ``state["certbound.peer_error"]``; and that no request
sees what an endpoint put into the state of another.
"""

from typing import Any

from app.tls import request_rules
from app.tls.connection import TlsConnection

Scope = dict[str, Any]


def of_connection(connection: TlsConnection, app_state: dict[str, Any]) -> Scope:
    """What all requests of one connection have in common."""
    presented = connection.presented
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "scheme": "https",
        "root_path": "",
        "client": _address(connection.get_extra_info("peername")),
        "server": _address(connection.get_extra_info("sockname")),
        "state": app_state
        | {"certbound.peer": presented.peer, "certbound.peer_error": presented.error},
        "extensions": {"tls": presented.extension},
    }


def of_request(
    common: Scope, version: str, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> Scope:
    """The scope of one request, `common` being its connection's part.

    Raises:
        Refused: the path cannot be decoded.
    """
    raw_path, _, query = target.partition(b"?")
    return common | {
        "http_version": version,
        "method": method.decode("ascii"),
        "path": request_rules.decoded(raw_path),
        "raw_path": raw_path,
        "query_string": query,
        "headers": headers,
        "state": common["state"].copy(),
    }


def _address(name: object) -> tuple[str, int] | None:
    """Host and port as ASGI wants them, out of a socket's name of any family."""
    if isinstance(name, tuple) and len(name) >= 2:  # noqa: PLR2004 - host, port
        return str(name[0]), int(name[1])
    return None
