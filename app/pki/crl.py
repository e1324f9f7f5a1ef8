"""A certificate revocation list that its CA signed (RFC 5280 sections 5 and 6.3).

Guarantees that a `LoadedCrl` is a complete v2 CRL in strict DER with number and next update, that
a certificate of its issuer's name which may sign CRLs signed it, and that every entry was
understood. Delta and indirect CRLs, those for some reasons only, and unknown critical extensions
are refused with ValueError; there is no other error. Says nothing about time (`stale` does, when
asked) nor about whose certificates it may speak of (`app.pki.crl_status`). The entries are walked
only after the signature was found good. Extensions and dates are cryptography's to parse, from the
list without its entries; a million of them it would parse holding up the event loop.
"""

import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from app.clock import iso
from app.pki import der, dn
from app.pki.anchors import TrustSet, material, may_sign_crls
from app.pki.crl_entries import Entries, RevokedEntry, read_entries
from app.pki.crl_scope import Scope, scope_of
from app.pki.der_spans import Span, inside, sequence
from app.pki.key_policy import issuer_key_fault, signature_fault
from app.pki.leaf import Leaf, base64url_sha256
from app.pki.panics import is_fault_of_input

MAX_BYTES = 64 * 1024 * 1024
"""DER. A million entries with 20-octet serials and reasons are 50 MB."""
CLOCK_SKEW = 300
"""Seconds a CA's clock may be ahead, so that a CRL counts from the moment it is signed."""

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_TIMES = frozenset({0x17, 0x18})
_EXTENSIONS = 0xA0
_MAX_NUMBER = 2**159  # RFC 5280 section 5.2.3: at most 20 octets
# Understood, so critical or not; everything else critical refuses the list.
_UNDERSTOOD = (x509.CRLNumber, x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier)


@dataclass(frozen=True, slots=True)
class _Signed:
    """What the signature is over, digested, so that the list itself need not be kept."""

    algorithm: object
    """As cryptography names it: padding or ECDSA; None for EdDSA."""
    digest: utils.Prehashed | None
    content: bytes
    """The digest; with EdDSA, which reads its message twice, the message."""
    signature: bytes

    def is_by(self, key: object) -> bool:
        try:
            match key, self.algorithm, self.digest:
                case (rsa.RSAPublicKey(), padding.PKCS1v15() | padding.PSS() as pad, digest) if (
                    digest
                ):
                    key.verify(self.signature, self.content, pad, digest)
                case ec.EllipticCurvePublicKey(), ec.ECDSA(), digest if digest:
                    key.verify(self.signature, self.content, ec.ECDSA(digest))
                case ((ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey()), None, None):
                    key.verify(self.signature, self.content)
                case _:
                    return False
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCrl:
    """A CRL whose signature holds. Made only by `load_crl` and `under`."""

    issuer: bytes
    """The CA's Name as encoded."""
    signers: tuple[Leaf, ...]
    """Certificates of that name with the key that signed; one at least."""
    signing_key: bytes
    """SubjectPublicKeyInfo."""
    scope: Scope
    number: int
    this_update: int
    next_update: int
    digest: str
    """SHA-256 of the DER, hexadecimal."""
    title: str
    """For people: ``CRL 17 of CN=Kit Root``, with its partition. Made once: findings need it."""
    entries: Entries
    _signed: _Signed
    replaced: bool = False
    """Whether a newer list exists that is not at hand."""

    @property
    def partition(self) -> str:
        """Empty for a CRL of everything its CA issued; else which part, for people and as a key."""
        return self.scope.text

    @property
    def issuer_key(self) -> str:
        """One text per CA name and signing key: lists replace each other within it."""
        return base64url_sha256(self.issuer + self.signing_key)

    def revoked(self, serial: bytes) -> RevokedEntry | None:
        """The entry for a serial as `app.pki.crl_entries.serial_key` makes it, or None."""
        return self.entries.find(serial)

    def stale(self, now: int, max_staleness: int = 0) -> str | None:
        """Why the list does not show the present, or None where it does."""
        if self.replaced:
            return "was replaced by one that is not at hand"
        if self.this_update > now + CLOCK_SKEW:
            return f"begins only at {iso(self.this_update)}"
        if now >= self.next_update:
            return f"was due for replacement at {iso(self.next_update)}"
        if max_staleness and now - self.this_update > max_staleness:
            return f"is of {iso(self.this_update)}, older than the {max_staleness} s allowed"
        return None

    def supersedes(self, other: Self) -> bool:
        """Whether this may replace `other` of the same issuer key and partition: it is not older."""
        return (self.number, self.this_update) >= (other.number, other.this_update)

    def only_revoking(self) -> Self:
        """The same list, its entries still telling but its silence no more."""
        return replace(self, replaced=True)

    def under(self, signers: Sequence[Leaf]) -> Self:
        """The same list, its signature judged by other certificates. Raises ValueError."""
        found = _signers(self.issuer, self._signed, signers)
        key = found[0].facts.spki_der
        return replace(self, signers=found, signing_key=key, replaced=False)


def load_crl(data: bytes, signers: Sequence[Leaf]) -> LoadedCrl:
    """The CRL in DER or PEM, signed by one of `signers` in the name of its issuer.

    Takes some two seconds per million entries: not on the event loop. Raises ValueError.
    """
    data = to_der(data)
    if len(data) > MAX_BYTES:
        raise ValueError(f"a CRL of more than {MAX_BYTES} bytes")
    tbs, algorithm, signature = _parts(data)
    fields = list(inside(data, tbs))
    revoked = _revoked(fields)
    issuer = _issuer(data, fields, algorithm)
    head = _head(data, [each for each in fields if each is not revoked], algorithm, signature)
    signed = _signed(head, memoryview(data)[tbs.start : tbs.end])
    found = _signers(issuer, signed, signers)
    scope, number = _examine_extensions(head)
    if head.next_update_utc is None:
        raise ValueError("a CRL without next update")
    part = f" [{scope.text}]" if scope.text else ""
    return LoadedCrl(
        issuer=issuer,
        signers=found,
        signing_key=found[0].facts.spki_der,
        scope=scope,
        number=number,
        this_update=int(head.last_update_utc.timestamp()),
        next_update=int(head.next_update_utc.timestamp()),
        digest=hashlib.sha256(data).hexdigest(),
        title=f"CRL {number} of {dn.shown(issuer)}{part}",
        entries=read_entries(data, revoked),
        _signed=signed,
    )


def load_for(trust_set: TrustSet, data: bytes) -> LoadedCrl:
    """The CRL, signed by a certificate of this very trust set. As `load_crl`."""
    return load_crl(data, material(trust_set).signers_of_crls())


def to_der(data: bytes) -> bytes:
    """The DER of a CRL in either form. Raises ValueError for PEM that is not exactly one CRL."""
    if data[:1] == b"\x30":
        return data
    start = data.find(_BEGIN)
    end = data.find(_END, start)
    if start < 0 or end < 0 or data.find(b"-----BEGIN", start + 1) >= 0:
        raise ValueError("neither DER nor one PEM block of type X509 CRL")
    if end - start > 2 * MAX_BYTES:
        raise ValueError(f"a CRL of more than {MAX_BYTES} bytes")
    body = data[start + len(_BEGIN) : end].translate(None, b"\r\n\t ")
    step = 1024 * 1024  # a multiple of four; decoding in pieces lets other threads in between
    try:
        return b"".join(
            binascii.a2b_base64(body[at : at + step], strict_mode=True)
            for at in range(0, len(body), step)
        )
    except binascii.Error as problem:
        raise ValueError(f"broken base64 in the PEM block: {problem}") from problem


def _parts(data: bytes) -> tuple[Span, Span, Span]:
    outer = sequence(data, 0, len(data))
    if outer.end != len(data):
        raise ValueError("trailing bytes after the CRL")
    parts = list(inside(data, outer))
    if [each.tag for each in parts] != [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]:
        raise ValueError("not the outline of a CRL")
    return parts[0], parts[1], parts[2]


def _revoked(fields: list[Span]) -> Span | None:
    """Where the entries lie. A list of no entries at all is left out (RFC 5280 section 5.1.2.6)."""
    tags = [each.tag for each in fields]
    if tags[:1] != [der.INTEGER]:
        raise ValueError("a CRL of version 1; version 2 is needed")
    times = [at for at, tag in enumerate(tags) if tag in _TIMES]
    if tags[1:3] != [der.SEQUENCE, der.SEQUENCE] or times not in ([3], [3, 4]):
        raise ValueError("not the outline of a CRL")
    rest = fields[times[-1] + 1 :]
    return rest[0] if rest and rest[0].tag == der.SEQUENCE else None


def _issuer(data: bytes, fields: list[Span], algorithm: Span) -> bytes:
    version, inner, issuer = fields[:3]
    if data[version.content : version.end] != b"\x01":
        raise ValueError("a CRL of a version other than 2")
    if data[inner.start : inner.end] != data[algorithm.start : algorithm.end]:
        raise ValueError("two different signature algorithms in one CRL")
    return data[issuer.start : issuer.end]


def _head(
    data: bytes, fields: Iterable[Span], algorithm: Span, signature: Span
) -> x509.CertificateRevocationList:
    """The list without its entries, as cryptography reads it. Its signature is none, of course."""
    tbs = der.encode(der.SEQUENCE, b"".join(data[each.start : each.end] for each in fields))
    rest = data[algorithm.start : algorithm.end] + data[signature.start : signature.end]
    encoded = der.encode(der.SEQUENCE, tbs + rest)
    try:
        head = x509.load_der_x509_crl(encoded)
        _ = head.extensions, head.last_update_utc, head.next_update_utc
    except ValueError:
        raise
    # cryptography's own errors are no ValueErrors, and a panic is no Exception
    except BaseException as problem:
        if not is_fault_of_input(problem):
            raise
        raise ValueError(str(problem) or "the CRL parser gave up") from problem
    if (fault := signature_fault(head)) is not None:
        raise ValueError(f"signed with {fault}; SHA-2 is needed")
    return head


def _signed(head: x509.CertificateRevocationList, tbs: memoryview) -> _Signed:
    algorithm = head.signature_hash_algorithm
    if algorithm is None:
        return _Signed(None, None, bytes(tbs), head.signature)
    content = hashlib.new(algorithm.name, tbs).digest()
    parameters = head.signature_algorithm_parameters
    return _Signed(parameters, utils.Prehashed(algorithm), content, head.signature)


def _signers(issuer: bytes, signed: _Signed, candidates: Sequence[Leaf]) -> tuple[Leaf, ...]:
    named = [each for each in candidates if each.subject == issuer and may_sign_crls(each)]
    if not named:
        raise ValueError(
            f"a CRL of {dn.shown(issuer)}, of which no certificate that may sign CRLs is known here; "
            "add the CA or its CRL signer: certbound trust add NAME FILE"
        )
    for each in named:
        if issuer_key_fault(each.public_key) is None and signed.is_by(each.public_key):
            key = each.facts.spki_der
            return tuple(other for other in named if other.facts.spki_der == key)
    raise ValueError(f"a CRL that {dn.shown(issuer)} did not sign")


def _examine_extensions(head: x509.CertificateRevocationList) -> tuple[Scope, int]:
    scope, number = Scope(), None
    for extension in head.extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            raise ValueError("a delta CRL; not supported, load the complete one")  # noqa: TRY004 - content, not type
        if extension.critical and not isinstance(value, _UNDERSTOOD):
            name = extension.oid.dotted_string
            raise ValueError(f"a CRL with the unknown critical extension {name}")
        if isinstance(value, x509.IssuingDistributionPoint):
            scope = scope_of(value, head)
        if isinstance(value, x509.CRLNumber):
            number = value.crl_number
    if number is None or not 0 <= number < _MAX_NUMBER:
        raise ValueError("a CRL without a number, or with one that is no count")
    return scope, number
