"""One open connection to a server, for any number of forms to its endpoints."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, Reader, Response

Post = Callable[..., Response]


@contextlib.contextmanager
def posting(server: Running, name: str | None, client_id: str | None = None) -> Iterator[Post]:
    """``post("/introspect", token=…)`` at the mTLS listener, with ``certs/<name>.crt`` or none.

    ``accept`` is the header; everything else, ``client_id`` included, goes into the form.
    """
    context = server.tls(server.file(f"{name}.crt") if name else None)
    with (
        socket.create_connection(("127.0.0.1", server.mtls_port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Reader(connection)

        def post(path: str, *, accept: str = "*/*", **fields: str) -> Response:
            body = urlencode({"client_id": client_id or name or ""} | fields).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            return reader.response()

        yield post


def token_of(post: Post, **fields: str) -> str:
    """A token by the client credentials grant."""
    response = post("/token", grant_type="client_credentials", **fields)
    assert response.status == 200, response.body
    token: str = response.json()["access_token"]
    return token


def told(post: Post, token: str, **fields: str) -> Any:
    """What introspection says of it."""
    response = post("/introspect", token=token, **fields)
    assert response.status == 200, response.body
    return response.json()
