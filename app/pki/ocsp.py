"""One question to an OCSP responder, and whether its answer may be believed (RFC 6960, RFC 9654).

Guarantees that an `OcspAnswer` is about the very certificate that was asked for (CA name, CA key
and serial), was signed by that CA or by a responder which that CA itself certified for OCSP, and
answers this question where it carries a nonce. A CA below that CA is no responder, whatever purposes
its certificate names. Whatever is wrong raises `OcspFailure` with a
message for people. A delegated responder's own revocation is not asked about, as if its certificate
had *ocsp-nocheck*: CAs make them short-lived (RFC 6960 section 4.2.2.2.1 leaves it to policy). Whether an answer is fresh is asked when it is used. No certificate says whom
to ask: that is configuration.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.clock import iso
from app.pki import der
from app.pki.issued import signed
from app.pki.key_policy import issuer_key_fault
from app.pki.leaf import CertificateFacts, Leaf, read_leaf
from app.pki.panics import is_fault_of_input
from app.pki.status import Status, age_text

NONCE_OCTETS = 32  # RFC 9654 section 2.1: what a client should send
CLOCK_SKEW = 300
"""Seconds a responder's clock may be ahead."""
WITHOUT_NEXT_UPDATE = 300
"""Seconds an answer counts that names no end of its own: long enough not to ask at each login."""
MAX_RESPONDERS = 4  # certificates in an answer; responders send one
_MAX_ANSWERS = 16  # single responses in an answer; one was asked for
BARRED = "an answer signed by a responder that is on the deny-list"
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_NAMING = {"sha1", "sha256", "sha384", "sha512"}


Barred = Callable[[CertificateFacts], bool]
"""Whether nothing that this certificate signed counts any more."""


class OcspFailure(Exception):
    """There is no answer that may be believed; why, for people."""


@dataclass(frozen=True, slots=True)
class OcspQuestion:
    """What was asked, to hold the answer against."""

    issuer: Leaf
    serial: int
    nonce: bytes
    encoded: bytes
    """DER of the OCSPRequest."""


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """A believed answer."""

    known: bool
    """False: the responder does not know the certificate, or would not say (`words` tells)."""
    revoked: bool
    words: str
    """For people: who answered what."""
    this_update: int = 0
    next_update: int | None = None
    closed: bool = False
    """As `Status.closed`, where it is no good word."""
    responder: CertificateFacts | None = None
    """Who signed it; None: the CA itself."""

    def ends(self, max_staleness: int) -> int:
        """When the answer no longer shows the present."""
        end = self.this_update + WITHOUT_NEXT_UPDATE
        if self.next_update is not None:
            end = self.next_update
        return min(end, self.this_update + max_staleness) if max_staleness else end

    def status(self, name: str, now: int, max_staleness: int) -> Status:
        """The answer as of `now`. A revocation does not go stale; it must be replaced."""
        if self.revoked:
            return Status("revoked", f"{name}: {self.words}")
        if not self.known:
            return Status("unknown", f"{name}: {self.words}", self.closed)
        if now >= self.ends(max_staleness):
            ended = iso(self.ends(max_staleness))
            text = f"{name}: the last OCSP answer counted until {ended}"
            return Status("unknown", text, self.closed)
        return Status("good", f"{name}: {self.words}, {age_text(now - self.this_update)} old")


def ask(issuer: Leaf, serial: int) -> OcspQuestion:
    """A question with a fresh nonce.

    CA name and key are named by SHA-1, which every responder understands (RFC 5019 section
    2.1.1). It names and proves nothing: the answer's signature does, under that CA's own key.
    """
    nonce = os.urandom(NONCE_OCTETS)
    request = (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(
            hashlib.sha1(issuer.subject, usedforsecurity=False).digest(),
            hashlib.sha1(_key_octets(issuer), usedforsecurity=False).digest(),
            serial,
            hashes.SHA1(),  # noqa: S303 - a name, see above
        )
        .add_extension(x509.OCSPNonce(nonce), critical=False)
        .build()
    )
    return OcspQuestion(issuer, serial, nonce, request.public_bytes(Encoding.DER))


def nobody(_facts: CertificateFacts) -> bool:
    """Bars nobody."""
    return False


def read_answer(
    question: OcspQuestion, encoded: bytes, now: int, barred: Barred = nobody
) -> OcspAnswer:
    """The answer in a response to `question`, believed as of `now`. Raises OcspFailure."""
    try:
        return _read(question, encoded, now, barred)
    except OcspFailure:
        raise
    # cryptography's own errors are many kinds, and a panic is no Exception
    except BaseException as problem:
        if not is_fault_of_input(problem):
            raise
        raise OcspFailure(f"an unreadable answer: {problem}"[:200]) from problem


def _read(question: OcspQuestion, encoded: bytes, now: int, barred: Barred) -> OcspAnswer:
    response = ocsp.load_der_ocsp_response(encoded)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspFailure(f"the responder answered {response.response_status.name.lower()}")
    candidates = _responders(question, response, now)
    signer = next((one for one in candidates if _signed_by(response, one.public_key)), None)
    if signer is None:
        raise OcspFailure("an answer signed neither by the CA nor by a responder it certified")
    responder = None if signer is question.issuer else signer.facts
    if responder is not None and barred(responder):
        raise OcspFailure(BARRED)
    bare = _examine_extensions(question, response)
    mine = [each for each in _answers(response) if _concerns(each, question)]
    if len(mine) != 1:
        raise OcspFailure(f"{len(mine)} answers about the certificate; one was asked for")
    answer = replace(_answer(mine[0], bare=bare), responder=responder)
    produced = int(response.produced_at_utc.timestamp())
    if max(answer.this_update, produced) > now + CLOCK_SKEW:
        raise OcspFailure("an answer from the future")
    return answer


def _answers(response: ocsp.OCSPResponse) -> list[ocsp.OCSPSingleResponse]:
    found: list[ocsp.OCSPSingleResponse] = []
    for each in response.responses:
        found.append(each)
        if len(found) > _MAX_ANSWERS:
            raise OcspFailure(f"more than {_MAX_ANSWERS} answers in one response")
    return found


def _examine_extensions(question: OcspQuestion, response: ocsp.OCSPResponse) -> bool:
    """Whether the answer lacks a nonce: then only its own dates bound a replay."""
    bare = True
    for extension in response.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            if extension.value.nonce != question.nonce:
                raise OcspFailure("an answer to another question (its nonce is not ours)")
            bare = False
        elif extension.critical:
            raise OcspFailure("an answer with an unknown critical extension")
    return bare


def _answer(single: ocsp.OCSPSingleResponse, *, bare: bool) -> OcspAnswer:
    this_update = int(single.this_update_utc.timestamp())
    next_update = None
    if single.next_update_utc is not None:
        next_update = int(single.next_update_utc.timestamp())
    elif bare:
        raise OcspFailure("an answer with neither nonce nor next update may be of any age")
    status, words = single.certificate_status, f"OCSP answer of {iso(this_update)}"
    if status is ocsp.OCSPCertStatus.REVOKED:
        since, reason = single.revocation_time_utc, single.revocation_reason
        words += f": revoked on {iso(int(since.timestamp()))}" if since else ": revoked"
        words += f" ({reason.value})" if reason else ""
    elif status is ocsp.OCSPCertStatus.UNKNOWN:
        words += ": the responder does not know this certificate"
    return OcspAnswer(
        known=status is not ocsp.OCSPCertStatus.UNKNOWN,
        revoked=status is ocsp.OCSPCertStatus.REVOKED,
        words=words,
        this_update=this_update,
        next_update=next_update,
    )


def _concerns(single: ocsp.OCSPSingleResponse, question: OcspQuestion) -> bool:
    naming = single.hash_algorithm.name
    if single.serial_number != question.serial or naming not in _NAMING:
        return False
    issuer = question.issuer
    return (
        single.issuer_name_hash == hashlib.new(naming, issuer.subject).digest()
        and single.issuer_key_hash == hashlib.new(naming, _key_octets(issuer)).digest()
    )


def _key_octets(leaf: Leaf) -> bytes:
    """The subjectPublicKey without tag, length and unused bits: what RFC 6960 names a key by."""
    return der.inside(der.single(leaf.facts.spki_der), der.SEQUENCE)[1].content[1:]


def _responders(question: OcspQuestion, response: ocsp.OCSPResponse, now: int) -> Iterable[Leaf]:
    """The CA, then those it certified for OCSP (RFC 6960 section 4.2.2.2)."""
    yield question.issuer
    for certificate in response.certificates[:MAX_RESPONDERS]:
        responder = read_leaf(certificate.public_bytes(Encoding.DER))
        if _is_delegated(responder, question.issuer, now):
            yield responder


def _is_delegated(responder: Leaf, issuer: Leaf, now: int) -> bool:
    facts, certificate = responder.facts, responder.certificate
    if responder.issuer != issuer.subject or not facts.not_before <= now < facts.not_after:
        return False
    if facts.is_ca or issuer_key_fault(responder.public_key) is not None:
        return False
    if not _may_sign(certificate):
        return False
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and signed(certificate, issuer.certificate)


def _may_sign(certificate: x509.Certificate) -> bool:
    """Whether the key may sign more than certificates and CRLs (RFC 5280 section 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.digital_signature or usage.content_commitment


def _signed_by(response: ocsp.OCSPResponse, key: object) -> bool:
    algorithm = response.signature_hash_algorithm
    signature, content = response.signature, response.tbs_response_bytes
    try:
        match key:
            case rsa.RSAPublicKey() if isinstance(algorithm, _HASHES):
                key.verify(signature, content, padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() if isinstance(algorithm, _HASHES):
                key.verify(signature, content, ec.ECDSA(algorithm))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() if algorithm is None:
                key.verify(signature, content)
            case _:
                return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
