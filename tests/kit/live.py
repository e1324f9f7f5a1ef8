"""Connections that stay open while the world around them changes."""

import contextlib
import socket
from collections.abc import Callable, Iterator

from tests.kit import ledger, tokens
from tests.kit.presenting import token_request
from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, Reader, Response

Ask = Callable[..., Response]


@contextlib.contextmanager
def live(server: Running, name: str, client_id: str | None = None) -> Iterator[Ask]:
    """One connection with ``certs/<name>.crt`` that stays open; each call is one request on it."""
    context = server.tls(server.file(f"{name}.crt"))
    with (
        socket.create_connection(("127.0.0.1", server.mtls_port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Reader(connection)

        def ask(more: str = "") -> Response:
            connection.sendall(token_request((client_id or name) + more))
            return reader.response()

        yield ask


def reason(server: Running, response: Response) -> str:
    """Why a request was refused, audit and wire agreeing that it was."""
    assert response.status in (400, 401), response.body
    return ledger.reason(server, response.json()["error_ref"])


def why(server: Running, response: Response) -> str:
    """What the failing check saw, as the audit has it for people."""
    assert response.status in (400, 401), response.body
    findings = ledger.refusal(server, response.json()["error_ref"])["findings"]
    return str(next(each["seen"] for each in findings if each.get("reason")))


def claims(response: Response) -> dict[str, object]:
    """What an issued token says."""
    assert response.status == 200, response.body
    return tokens.read(response.json()["access_token"])
