"""A TLS client that presents octets which need not be a certificate at all: tlslite, persuaded."""

import contextlib
import socket
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.kit.running import Running
from tests.kit.wire import TIMEOUT, Reader, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tlslite imports asyncore, for a mix-in we do not use
    from tlslite.api import X509, HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.errors import TLSError

VERSIONS = {"TLSv1.2": (3, 3), "TLSv1.3": (3, 4)}


class _Stream:
    """What `Reader` wants of a socket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def recv(self, size: int) -> bytes:
        """Octets, or none at the end."""
        return bytes(self._connection.read(max=size, min=1))


def answer_to(
    server: Running,
    chain: Sequence[bytes],
    request: bytes,
    *,
    honest: bytes,
    key: Any,
    version: str,
) -> Response | None:
    """The answer to `request` after `chain` was sent as it stands; None where TLS said no.

    The handshake is signed with `key` as if the chain were `honest`, a certificate over it.
    """
    try:
        with _connected(server, chain, honest, key, version) as connection:
            connection.write(request)
            return Reader(_Stream(connection)).response()  # type: ignore[arg-type] # it reads and that is all
    except TLSError:
        return None


@contextlib.contextmanager
def _connected(
    server: Running, chain: Sequence[bytes], honest: bytes, key: Any, version: str
) -> Iterator[Any]:
    certificates = []
    for octets in chain:
        certificate = X509()
        certificate.parseBinary(bytearray(honest))
        certificate.bytes = bytearray(octets)  # what goes out
        certificates.append(certificate)
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = VERSIONS[version]
    settings.certificate_compression_send = []
    settings.certificate_compression_receive = []
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with socket.create_connection(("127.0.0.1", server.mtls_port), TIMEOUT) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = TLSConnection(raw)
        private = parsePEMKey(pem.decode(), private=True)
        connection.handshakeClientCert(X509CertChain(certificates), private, settings=settings)
        yield connection
