"""Trust sets: the CA certificates that an operator pinned, and nothing else.

Guarantees that a `TrustSet` holds at least one anchor, that every certificate in it is a readable
X.509 v3 CA with an acceptable key, or among the intermediates one that may sign CRLs and nothing
else, and that two sets are equal exactly when their bytes and policies are. The system's root
certificates are never consulted, an anchor is never found by name alone, and a client's registered
certificate never becomes one. Expired anchors are taken here and fail later, on the path, where
the clock is. Errors: ValueError naming the certificate.
"""

import binascii
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from cryptography import x509
from OpenSSL import crypto

from app.pki import openssl
from app.pki.key_policy import issuer_key_fault
from app.pki.leaf import Leaf, read_leaf
from app.pki.permitted import ANYTHING, Permitted
from app.pki.revocation_policy import OFF, RevocationPolicy
from app.pki.spiffe import require_trust_domain

MAX_PEM_BYTES = 1024 * 1024
# Path building is worst where many CAs share a name: 250 of them took OpenSSL 19 ms. 200 stays
# inside the 50 ms that one login may cost.
MAX_CERTIFICATES = 100
"""Of each kind, anchors and intermediates."""

_PEM = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\r?\n(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=label)-----"
)
_BEGIN = re.compile(rb"-----BEGIN ")


@dataclass(frozen=True, slots=True)
class TrustSet:
    """A named set of pinned CA certificates, DER. Equal by content; cheap to hash."""

    name: str
    anchors: tuple[bytes, ...]
    """Paths end here. An intermediate may be pinned as an anchor; its own issuer then is not asked."""
    intermediates: tuple[bytes, ...] = ()
    """Path material that clients need not send. Not trusted by itself."""
    permitted: Permitted = ANYTHING
    """Names these anchors may vouch for; empty: any."""
    trust_domain: str | None = None
    """The SPIFFE trust domain whose bundle these anchors are; None: no SPIFFE bundle."""
    revocation: RevocationPolicy = OFF
    digest: bytes = field(init=False, compare=False, repr=False)
    """SHA-256 over everything above, computed once: a key for caches."""

    def __post_init__(self) -> None:
        if not self.anchors:
            raise ValueError(f"trust set {self.name!r} has no anchor")
        if max(len(self.anchors), len(self.intermediates)) > MAX_CERTIFICATES:
            raise ValueError(
                f"trust set {self.name!r} has more than {MAX_CERTIFICATES} certificates"
            )
        if self.trust_domain is not None:
            require_trust_domain(self.trust_domain)
        object.__setattr__(self, "digest", _digest(self))
        material(self)

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def from_pem(cls, name: str, data: bytes) -> Self:
        """A set from one bundle: self-issued certificates are its anchors, the others its intermediates.

        A bundle without any self-issued certificate pins all it holds as anchors: that is how an
        operator trusts a sub-CA alone.
        """
        certificates = load_pem_bundle(data)
        read = {each: read_leaf(each) for each in certificates}
        roots = tuple(c for c in certificates if read[c].facts.self_issued and may_sign(read[c]))
        if not roots:
            return cls(name, tuple(certificates))
        return cls(name, roots, tuple(c for c in certificates if c not in roots))


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A trust set parsed for both path validators."""

    anchors: tuple[Leaf, ...]
    intermediates: tuple[Leaf, ...]
    openssl_anchors: tuple[crypto.X509, ...]
    openssl_intermediates: tuple[crypto.X509, ...]
    crl_signers: tuple[Leaf, ...] = ()
    """Certificates that sign CRLs in a CA's name and nothing else. Never path material."""

    def signers_of_crls(self) -> tuple[Leaf, ...]:
        """Every certificate of the set that may sign a CRL."""
        everything = (*self.anchors, *self.intermediates, *self.crl_signers)
        return tuple(each for each in everything if may_sign_crls(each))


@lru_cache(maxsize=256)  # trust sets of one registry; parsing costs some 30 µs per certificate
def material(trust_set: TrustSet) -> Material:
    """The parsed set; the same object for equal sets. Raises ValueError."""
    anchors = _parsed(trust_set.name, trust_set.anchors)
    others = _parsed(trust_set.name, trust_set.intermediates, crl_signers=True)
    intermediates = tuple(each for each in others if may_sign(each))
    return Material(
        anchors,
        intermediates,
        tuple(openssl.load(anchor.certificate) for anchor in anchors),
        tuple(openssl.load(each.certificate) for each in intermediates),
        tuple(each for each in others if not may_sign(each)),
    )


def load_pem_bundle(data: bytes) -> list[bytes]:
    """The DER certificates of a PEM file, in order, repeats dropped. Raises ValueError.

    Text around the blocks is allowed; a block that is no certificate (a private key!), a broken
    one, or none at all is not: half a bundle must never pass for a whole one.
    """
    if len(data) > MAX_PEM_BYTES:
        raise ValueError(f"a PEM file of more than {MAX_PEM_BYTES} bytes")
    blocks = list(_PEM.finditer(data))
    if len(blocks) != len(_BEGIN.findall(data)):
        raise ValueError("the PEM file holds a truncated or malformed block")
    certificates: list[bytes] = []
    for number, block in enumerate(blocks, 1):
        if block["label"] != b"CERTIFICATE":
            raise ValueError(f"PEM block {number} is {block['label'].decode()}, not CERTIFICATE")
        try:
            certificate = binascii.a2b_base64(b"".join(block["body"].split()), strict_mode=True)
            read_leaf(certificate)
        except ValueError as problem:
            raise ValueError(
                f"PEM block {number} is not a readable certificate: {problem}"
            ) from problem
        if certificate not in certificates:
            certificates.append(certificate)
    if not certificates:
        raise ValueError("the file holds no PEM certificate")
    return certificates


def _digest(trust_set: TrustSet) -> bytes:
    digest = hashlib.sha256(f"{len(trust_set.anchors)} {trust_set.name}".encode())
    for certificate in (*trust_set.anchors, *trust_set.intermediates):
        digest.update(hashlib.sha256(certificate).digest())
    digest.update(hashlib.sha256(trust_set.revocation.identity).digest())
    digest.update(trust_set.permitted.digest + (trust_set.trust_domain or "").encode())
    return digest.digest()


def _parsed(
    name: str, certificates: tuple[bytes, ...], *, crl_signers: bool = False
) -> tuple[Leaf, ...]:
    return tuple(
        _authority(f"trust set {name!r}, certificate {number}", certificate, crl_signers)
        for number, certificate in enumerate(certificates, 1)
    )


def _authority(where: str, encoded: bytes, crl_signers: bool) -> Leaf:  # noqa: FBT001 - handed through
    try:
        leaf = read_leaf(encoded)
    except ValueError as problem:
        raise ValueError(f"{where} is not readable: {problem}") from problem
    where = f"{where} ({leaf.facts.subject})"
    if not (crl_signers and not may_sign(leaf) and may_sign_crls(leaf)):
        _require_ca(where, leaf)
    if (fault := issuer_key_fault(leaf.public_key)) is not None:
        raise ValueError(f"{where} has a key that is not accepted: {fault}")
    return leaf


def _require_ca(where: str, leaf: Leaf) -> None:
    if not leaf.facts.is_ca:
        raise ValueError(
            f"{where} is not a CA certificate; a client's own certificate is registered with "
            "certbound client add ID --method self_signed_tls_client_auth --cert FILE"
        )
    if not may_sign(leaf):
        raise ValueError(f"{where} has a key usage without keyCertSign")


def may_sign(leaf: Leaf) -> bool:
    """Whether keyUsage, where present, allows signing certificates."""
    usage = _key_usage(leaf)
    return usage is None or usage.key_cert_sign


def may_sign_crls(leaf: Leaf) -> bool:
    """Whether a certificate may sign CRLs: by its keyUsage, or as a CA that has none."""
    usage = _key_usage(leaf)
    return leaf.facts.is_ca if usage is None else usage.crl_sign


def _key_usage(leaf: Leaf) -> x509.KeyUsage | None:
    try:
        return leaf.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
