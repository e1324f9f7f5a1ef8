"""A small real HTTPS server in a thread, with its own CA, able to misbehave on request."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kit.ca import key_usage


@dataclass(frozen=True)
class Answer:
    """What the server does with a request for one path."""

    body: bytes = b'{"keys":[]}'
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = "application/json"
    stated_length: int | None = None
    """Content-Length as sent; None: the truth, -1: none at all, the end of the connection."""
    wait: float = 0.0
    """Seconds of silence before the answer."""
    drip: float = 0.0
    """Seconds between the octets of the body."""


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes = b""


class HttpsServer:
    """Answers `answers[path]`, else 404. Use `serving`; `ca_file` is the CA to trust."""

    def __init__(self, directory: Path, names: tuple[str, ...], *, lax: bool) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self.ca_file = directory / "ca.pem"
        chain = directory / "server.pem"
        _write_certificates(self.ca_file, chain, names, lax=lax)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        context.sni_callback = self._note_name
        self._stop = threading.Event()
        self._http = _Listener(self, context)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.port: int = self._http.server_address[1]

    @property
    def hits(self) -> int:
        """Requests so far."""
        return len(self.seen)

    def url(self, path: str = "/jwks", host: str = "localhost") -> str:
        """An URL of this server."""
        return f"https://{host}:{self.port}{path}"

    def _note_name(
        self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        self.server_names.append(name)

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Cut everything off."""
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past `stop`."""
        self._stop.wait(seconds)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: HttpsServer, context: ssl.SSLContext) -> None:
        self.owner = owner
        self.context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        """Count the connection; the handshake happens in the handler's thread."""
        connection, address = super().get_request()
        self.owner.connections += 1
        connection.settimeout(60)
        wrapped = self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        """Answer as told."""
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        owner.seen.append(Seen(self.path, dict(self.headers), body))
        answer = owner.answers.get(self.path, Answer(status=404))
        owner.sleep(answer.wait)
        self.send_response(answer.status)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        length = len(answer.body) if answer.stated_length is None else answer.stated_length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if not answer.drip:
            self.wfile.write(answer.body)
            return
        for octet in answer.body:
            self.wfile.write(bytes([octet]))
            owner.sleep(answer.drip)

    do_POST = do_GET  # noqa: N815  # the library looks for this name

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(
    directory: Path, names: tuple[str, ...] = ("localhost",), *, lax: bool = False
) -> Iterator[HttpsServer]:
    """A running server on 127.0.0.1 whose certificate holds `names` (DNS names or addresses).

    A `lax` one does not say by which key it was signed (RFC 5280 section 4.2.1.1 demands it).
    """
    server = HttpsServer(directory, names, lax=lax)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def silent_listener() -> Iterator[int]:
    """A port on 127.0.0.1 that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _write_certificates(ca_file: Path, chain: Path, names: tuple[str, ...], *, lax: bool) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    unsigned = _builder(x509.Name([]), ca_name, key).add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True
    )
    if not lax:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        unsigned = unsigned.add_extension(identifier, critical=False)
    leaf = unsigned.sign(ca_key, hashes.SHA256())
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    chain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + leaf.public_bytes(serialization.Encoding.PEM)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
