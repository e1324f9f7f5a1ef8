"""TLS clients that break rules: tlslite-ng, which signs and sends whatever it is told to."""

import contextlib
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kit.wire import TIMEOUT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tlslite imports asyncore, for a mix-in we do not use
    from tlslite.api import X509, HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.errors import TLSRemoteAlert

__all__ = ["TLS12", "TLS13", "TLSRemoteAlert", "ask", "handshake", "update_keys"]

TLS12, TLS13 = (3, 3), (3, 4)


@contextlib.contextmanager
def handshake(
    port: int,
    ders: tuple[bytes, ...],
    key_file: Path,
    version: tuple[int, int] = TLS13,
    *,
    compress_certificate: bool = False,
) -> Iterator[Any]:
    """A connection on which `ders` were presented and `key_file` signed; raises what the server says."""
    certificates = []
    for der in ders:
        certificate = X509()
        certificate.parseBinary(bytearray(der))
        certificates.append(certificate)
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    if not compress_certificate:
        settings.certificate_compression_send = []
        settings.certificate_compression_receive = []
    key = parsePEMKey(key_file.read_text(), private=True)
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as raw:
        connection = TLSConnection(raw)
        connection.handshakeClientCert(X509CertChain(certificates), key, settings=settings)
        yield connection


def ask(connection: Any, request: bytes) -> bytes:
    """Send `request`, give back the first piece of the answer."""
    connection.write(request)
    return bytes(connection.read(min=1, max=65536))


def update_keys(connection: Any, times: int, *, answer: bool) -> None:
    """Send TLS 1.3 key updates, with or without asking the server to update its own."""
    for _ in range(times):
        for _ in connection.send_keyupdate_request(1 if answer else 0):
            pass
