"""A real OCSP responder over HTTP in a thread, able to misbehave in every way the checks know."""

import contextlib
import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.pki import der
from tests.kit import ca
from tests.kit.ca import Authority, basic, eku, name, usage

CertStatus = Literal["good", "revoked", "unknown"]
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING


@dataclass
class Manner:
    """How the responder answers. What is set here can be changed between two requests."""

    status: CertStatus = "good"
    revoked: set[int] = field(default_factory=set)
    """Serials that are revoked whatever `status` says."""
    refusal: ocsp.OCSPResponseStatus | None = None
    """tryLater and its like instead of an answer."""
    signer: Authority | None = None
    """Signs instead of the CA."""
    certificates: tuple[bytes, ...] = ()
    """Sent along: the delegated responder's certificate."""
    nonce: Literal["echo", "none", "wrong"] = "echo"
    age: int = 0
    """Seconds since thisUpdate and producedAt."""
    life: int | None = 600
    """Seconds from thisUpdate to nextUpdate; None leaves nextUpdate out."""
    serial: int | None = None
    """Answers about this one instead."""
    issuer: Authority | None = None
    """Answers as if this CA had issued it."""
    hang: float = 0.0
    """Seconds of silence before the answer."""
    padding: int = 0
    """Octets of zeros after the answer."""
    content_type: str = "application/ocsp-response"
    http_status: int = 200
    body: bytes | None = None
    """Sent instead of an answer."""
    naming: type[hashes.HashAlgorithm] = hashes.SHA1
    """Names the CA in the answer."""


def delegate(
    authority: Authority, now: int, label: str = "responder", *purposes: x509.ObjectIdentifier
) -> Authority:
    """A responder that `authority` certified; for OCSP unless other purposes are given."""
    key = ca.key(label=label)
    draft = ca.client_draft(name(("CN", label)), key, now).plus(
        basic(ca=False), usage("digital_signature"), eku(*(purposes or (OCSP_SIGNING,)))
    )
    return Authority(draft.subject, key, authority.sign(draft))


class Responder:
    """Answers for `authority`. Use `responding`."""

    def __init__(self, authority: Authority, now: int) -> None:
        self.authority = authority
        self.now = now
        self.manner = Manner()
        self.also: tuple[Authority, ...] = ()
        """Other CAs it answers for, as one responder does for a whole hierarchy."""
        self.asked: list[int] = []
        """Serials, in the order of the questions."""
        self._stop = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/ocsp"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Cut everything off."""
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def respond(self, encoded: bytes) -> bytes:
        """The answer to a DER request, in this responder's manner."""
        manner, request = self.manner, ocsp.load_der_ocsp_request(encoded)
        self.asked.append(request.serial_number)
        self._stop.wait(manner.hang)
        if manner.body is not None:
            return manner.body
        if manner.refusal is not None:
            refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(manner.refusal)
            return refusal.public_bytes(Encoding.DER)
        return self._answer(request).public_bytes(Encoding.DER) + bytes(manner.padding)

    def _asked_about(self, request: ocsp.OCSPRequest) -> Authority:
        """The CA that the request names by its key."""
        for each in self.also:
            certificate = x509.load_der_x509_certificate(each.certificate)
            if _key(request.hash_algorithm, certificate) == request.issuer_key_hash:
                return each
        return self.authority

    def _answer(self, request: ocsp.OCSPRequest) -> ocsp.OCSPResponse:
        manner = self.manner
        serial = request.serial_number if manner.serial is None else manner.serial
        status = "revoked" if serial in manner.revoked else manner.status
        this_update = dt.datetime.fromtimestamp(self.now - manner.age, dt.UTC)
        next_update = None
        if manner.life is not None:
            next_update = this_update + dt.timedelta(seconds=manner.life)
        authority = self._asked_about(request)
        issuer = x509.load_der_x509_certificate((manner.issuer or authority).certificate)
        digest = manner.naming()
        name_hash, key_hash = _digest(digest, issuer.subject.public_bytes()), _key(digest, issuer)
        revoked = status == "revoked"
        signer = manner.signer or authority
        certificate = x509.load_der_x509_certificate(signer.certificate)
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                name_hash,
                key_hash,
                serial,
                digest,
                ocsp.OCSPCertStatus[status.upper()],
                this_update,
                next_update,
                this_update if revoked else None,
                x509.ReasonFlags.key_compromise if revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        )
        if manner.certificates:
            sent = [x509.load_der_x509_certificate(each) for each in manner.certificates]
            builder = builder.certificates(sent)
        if manner.nonce != "none":
            nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
            nonce = nonce if manner.nonce == "echo" else bytes(len(nonce))
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.sign(signer.key, hashes.SHA256())


def _digest(algorithm: hashes.HashAlgorithm, content: bytes) -> bytes:
    context = hashes.Hash(algorithm)
    context.update(content)
    return context.finalize()


def _key(algorithm: hashes.HashAlgorithm, certificate: x509.Certificate) -> bytes:
    encoded = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _digest(algorithm, der.inside(der.single(encoded), der.SEQUENCE)[1].content[1:])


def _handler(responder: Responder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer a question."""
            length = int(self.headers.get("Content-Length", "0"))
            body = responder.respond(self.rfile.read(length))
            with contextlib.suppress(OSError):
                self.send_response(responder.manner.http_status)
                self.send_header("Content-Type", responder.manner.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            self.close_connection = True

        def do_GET(self) -> None:
            """A document at the same host: a CRL, for instance, over plain http."""
            self.close_connection = True
            body = responder.manner.body or b""
            with contextlib.suppress(OSError):
                self.send_response(responder.manner.http_status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    return Handler


@contextlib.contextmanager
def responding(authority: Authority, now: int) -> Iterator[Responder]:
    """A running responder of `authority` on 127.0.0.1."""
    responder = Responder(authority, now)
    responder.start()
    try:
        yield responder
    finally:
        responder.stop()
