"""Reading a certificate strictly, trusting nothing: bytes in, facts out, or ValueError.

Guarantees: DER in exactly one spelling, X.509 v3, a positive serial of at most 20 octets, no
extension twice, every extension parsed, strings well-formed, no invisible or control character in
the subject or a SAN that can be matched, and no more of anything than `outline` lets pass.
Whatever is wrong raises ValueError and nothing else. No check of dates, keys, signatures or
issuers here, and no URL in the certificate is ever looked at.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.pki import dn
from app.pki.characters import require_visible
from app.pki.key_policy import key_text
from app.pki.outline import Outline, read_outline
from app.pki.panics import is_fault_of_input
from app.pki.subject_match import PresentedNames
from app.tls.peer import thumbprint

MAX_BYTES = 32 * 1024  # the TLS layer's cap for a whole chain; no single certificate may be larger
# Public CAs stop at 100; a client has one or two. The rest would only cost time to compare.
MAX_ALTERNATIVE_NAMES = 100
# A refusal reads its certificate twice, and a connection repeats its requests; verdicts on trusted
# ones are remembered elsewhere. 64 ordinary ones hold 0.3 MB, of the most bloated 10 MB.
_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says about itself, for people, audit and name matching. Proves nothing."""

    subject: str
    """RFC 4514."""
    issuer: str
    """RFC 4514, or ``#`` and DER in hex where the issuer's name is ill-formed."""
    serial: str
    """Lower-case hex, whole octets."""
    not_before: int
    not_after: int
    key: str
    """``EC P-256``, ``RSA 2048``, …"""
    sans: tuple[str, ...]
    """``URI:…``, ``DNS:…``, ``IP:…``, ``email:…``; other types are left out."""
    is_ca: bool
    self_issued: bool
    """Issuer and subject are one name; says nothing about the signature."""
    thumbprint: str
    """``x5t#S256`` of the whole DER."""
    spki_sha256: str
    """base64url SHA-256 of `spki_der`."""
    spki_der: bytes
    """SubjectPublicKeyInfo as `cryptography` writes it; empty for a key type it does not know."""
    tbs_sha256: str
    """base64url SHA-256 of the TBSCertificate, the part that its issuer signed: the same however
    the signature is written."""
    names: PresentedNames


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate, read once: the parsed object and its facts."""

    certificate: x509.Certificate
    public_key: CertificatePublicKeyTypes | None
    """None for a key type unknown here; the key policy refuses it."""
    issuer: bytes
    """The issuer's Name as encoded."""
    subject: bytes
    """The subject's Name as encoded."""
    elements: int
    """How many DER elements it holds: what it costs to read."""
    facts: CertificateFacts


def read_leaf(encoded: bytes) -> Leaf:
    """The strict reading of one DER certificate. Raises ValueError only.

    Equal bytes give the same object while they are remembered.
    """
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"a certificate of more than {MAX_BYTES} bytes")
    found = _remembered(encoded)
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - the text of a ValueError
    return found


@lru_cache(maxsize=_REMEMBERED)
def _remembered(encoded: bytes) -> Leaf | str:
    """The certificate, or what is wrong with it: an exception kept would keep its frames."""
    try:
        return _guarded(encoded)
    except ValueError as problem:
        return str(problem)


def _guarded(encoded: bytes) -> Leaf:
    outline = read_outline(encoded)
    try:
        return _read(encoded, outline)
    except ValueError:
        raise
    # cryptography's own errors (InvalidVersion, DuplicateExtension, UnsupportedGeneralNameType …)
    # are no ValueErrors, and a panic is no Exception: unreadable is unreadable.
    except BaseException as problem:
        if not is_fault_of_input(problem):
            raise
        raise ValueError(str(problem) or "the certificate parser gave up") from problem


def base64url_sha256(data: bytes) -> str:
    """base64url SHA-256 without padding, the form of every digest in this server."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def _read(encoded: bytes, outline: Outline) -> Leaf:
    certificate = x509.load_der_x509_certificate(encoded)
    if certificate.version is not x509.Version.v3:
        raise ValueError("version 3 is needed")
    if certificate.public_bytes(Encoding.DER) != encoded:
        raise ValueError("not DER: it would be encoded otherwise")
    extensions = certificate.extensions
    public_key = _public_key(certificate)
    spki = (
        b""
        if public_key is None
        else public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    subject = dn.read(outline.subject)
    names = _names(subject, extensions)
    facts = CertificateFacts(
        subject=dn.text(subject),
        issuer=dn.shown(outline.issuer),
        serial=outline.serial.lstrip(b"\0").hex(),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        key=key_text(public_key),
        sans=tuple(names.described()),
        is_ca=_is_ca(extensions),
        self_issued=outline.issuer == outline.subject,
        thumbprint=thumbprint(encoded),
        spki_sha256=base64url_sha256(spki),
        spki_der=spki,
        tbs_sha256=base64url_sha256(certificate.tbs_certificate_bytes),
        names=names,
    )
    return Leaf(certificate, public_key, outline.issuer, outline.subject, outline.elements, facts)


def _public_key(certificate: x509.Certificate) -> CertificatePublicKeyTypes | None:
    try:
        return certificate.public_key()
    except UnsupportedAlgorithm:
        return None


def _is_ca(extensions: x509.Extensions) -> bool:
    return any(
        isinstance(extension.value, x509.BasicConstraints) and extension.value.ca
        for extension in extensions
    )


def _names(subject: dn.Name, extensions: x509.Extensions) -> PresentedNames:
    """The names that can be matched. A directory name in the SAN cannot, so none is looked at."""
    canonical = dn.encode(subject)
    try:
        san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return PresentedNames(canonical)
    if len(list(san)) > MAX_ALTERNATIVE_NAMES:
        raise ValueError(f"more than {MAX_ALTERNATIVE_NAMES} subject alternative names")
    return PresentedNames(
        canonical,
        dns=_ia5(san.get_values_for_type(x509.DNSName)),
        uri=_ia5(san.get_values_for_type(x509.UniformResourceIdentifier)),
        ip=tuple(_address(address) for address in san.get_values_for_type(x509.IPAddress)),
        email=_ia5(san.get_values_for_type(x509.RFC822Name)),
    )


def _ia5(values: Iterable[str]) -> tuple[str, ...]:
    """dNSName, URI and rfc822Name are IA5String (RFC 5280 section 4.2.1.6): ASCII, and visible."""
    values = tuple(values)
    for value in values:
        if not value.isascii():
            raise ValueError("a subject alternative name is not ASCII")
        require_visible(value, "a subject alternative name")
    return values


def _address(address: object) -> bytes:
    packed = getattr(address, "packed", None)
    if not isinstance(packed, bytes):
        raise ValueError("a subject alternative name holds a network instead of an address")  # noqa: TRY004 - malformed input, not a caller's mistake
    return packed
