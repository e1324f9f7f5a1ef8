"""TLS clients that send exactly the bytes a test wants, when it wants them."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.kit.certs import Pair, pki

TIMEOUT = 60.0
"""Seconds after which a client gives up on a server: it only bounds a hang, however busy the machine."""


@dataclass(frozen=True)
class Response:
    """One HTTP response, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class ClosedEarly(Exception):
    """The connection ended before a response was complete; carries what came."""


def client_context(
    client: Pair | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A client that checks the server, presents `client`, and minds no weak key of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki().ca_file)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if client is not None:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(client.certificate_file, client.key_file)
    return context


@contextlib.contextmanager
def connected(
    port: int, client: Pair | None = None, version: ssl.TLSVersion | None = None
) -> Iterator[ssl.SSLSocket]:
    """A connection whose handshake is complete."""
    context = client_context(client, version)
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        yield wrapped


def get(path: str = "/", *, close: bool = False, extra: str = "") -> bytes:
    """The bytes of a plain GET."""
    connection = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{connection}{extra}\r\n".encode()


def post(body: bytes, path: str = "/") -> bytes:
    """The bytes of a POST with a Content-Length."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Reader:
    """Reads responses off one connection, however they are cut into pieces."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def response(self) -> Response:
        """The next response; raises `ClosedEarly` at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        end = self._buffer.index(b"\r\n\r\n")
        head = self._take(end + 4)[:end]
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            self._more()
        return Response(int(status_line.split(" ")[1]), headers, self._take(length))

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        with contextlib.suppress(ClosedEarly):
            while True:
                self._more()
        return self._take(len(self._buffer))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise ClosedEarly(bytes(self._buffer))
        self._buffer += data


def ask(connection: socket.socket, request: bytes) -> Response:
    """Send one request and read its response."""
    connection.sendall(request)
    return Reader(connection).response()


def ask_once(
    port: int,
    request: bytes = get(),
    client: Pair | None = None,
    version: ssl.TLSVersion | None = None,
) -> Response:
    """One request on a connection of its own."""
    with connected(port, client, version) as connection:
        return ask(connection, request)
