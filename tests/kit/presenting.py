"""A TLS client without scruples: presents whatever chain OpenSSL can be brought to send."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, Reader, Response
from tests.kit.world import Credential, Hostile

VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}


class _Stream:
    """The few methods of a socket that `Reader` wants, over an OpenSSL connection."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self.sendall = connection.sendall

    def recv(self, size: int) -> bytes:
        """Octets, or none at the end."""
        with contextlib.suppress(SSL.ZeroReturnError):
            return self._connection.recv(size)
        return b""


class Presenter:
    """A connection on which a chain was presented and its key proven."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._reader = Reader(stream)  # type: ignore[arg-type] # it reads and that is all

    def send(self, request: bytes) -> Response:
        """One request and its response."""
        self._stream.sendall(request)
        return self._reader.response()


@contextlib.contextmanager
def presenting(
    server: Running, credential: Credential | Hostile, folder: Path, version: str = "TLSv1.3"
) -> Iterator[Presenter]:
    """A connection to the mTLS listener, its handshake complete; waits at most `TIMEOUT` for octets."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_verify(SSL.VERIFY_PEER)
    context.load_verify_locations(str(server.file("ca.crt")))
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text("".join(map(ssl.DER_cert_to_PEM_cert, credential.chain)))
    key.write_bytes(credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context.use_certificate_chain_file(str(chain))
    context.use_privatekey_file(str(key))
    with socket.create_connection(("127.0.0.1", server.mtls_port)) as raw:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            raw.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(TIMEOUT), 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = SSL.Connection(context, raw)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        yield Presenter(_Stream(connection))


def token_request(client_id: str) -> bytes:
    """The octets of a token request."""
    body = f"grant_type=client_credentials&client_id={client_id}".encode()
    head = (
        "POST /token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
