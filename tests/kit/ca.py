"""A certificate builder without manners: anything DER can say, good or hostile.

A `Draft` is a certificate's content as data; `with_` changes a part, `sign` makes DER of it. The
content is assembled by hand, because libraries rightly refuse to build most of what an attacker
sends. `Authority` is a name with a key that signs drafts. Keys are made once per process.
"""

import dataclasses
import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.pki import der
from app.pki.attribute_types import oid_of

PrivateKey = CertificateIssuerPrivateKeyTypes
Pair = tuple[str, str | bytes] | tuple[str, str | bytes, int]
"""Keyword or OID, value, string tag (default UTF8String)."""

UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
_CODEC = {UNIVERSAL: "utf-32-be", BMP: "utf-16-be"}
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


@cache  # a test process knows a few dozen keys
def key(kind: str = "P-256", label: str = "") -> Any:
    """A private key, the same for the same arguments; `label` makes more of a kind."""
    del label
    curves: dict[str, type[ec.EllipticCurve]] = {
        "P-224": ec.SECP224R1,
        "P-256": ec.SECP256R1,
        "P-384": ec.SECP384R1,
        "P-521": ec.SECP521R1,
        "secp256k1": ec.SECP256K1,
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind[4:]))
    if kind.startswith("DSA-"):
        return dsa.generate_private_key(int(kind[4:]))
    return (ed25519.Ed25519PrivateKey if kind == "Ed25519" else ed448.Ed448PrivateKey).generate()


def spki(private_key: Any) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    encoded: bytes = private_key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def name(*rdns: Pair | list[Pair]) -> bytes:
    """A DER Name in encoding order; a list is one multi-valued RDN."""
    return der.encode(
        der.SEQUENCE,
        b"".join(
            der.encode(der.SET, b"".join(sorted(map(_attribute, rdn))))
            for rdn in ([each] if isinstance(each, tuple) else each for each in rdns)
        ),
    )


def _attribute(pair: Pair) -> bytes:
    keyword, value, tag = pair if len(pair) == 3 else (*pair, UTF8)
    if isinstance(value, str):
        value = value.encode(_CODEC.get(tag, "utf-8"))
    oid = der.encode(der.OID, der.oid_content(oid_of(keyword)))
    return der.encode(der.SEQUENCE, oid + der.encode(tag, value))


@dataclass(frozen=True)
class Extension:
    """One extension: OID, criticality, DER value."""

    oid: str
    value: bytes
    critical: bool = False

    def encoded(self) -> bytes:
        """DER of the Extension."""
        critical = b"\x01\x01\xff" if self.critical else b""
        oid = der.encode(der.OID, der.oid_content(self.oid))
        return der.encode(der.SEQUENCE, oid + critical + der.encode(0x04, self.value))


def extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    """An extension from cryptography's object for it."""
    return Extension(value.oid.dotted_string, value.public_bytes(), critical)


def eku(*purposes: x509.ObjectIdentifier, critical: bool = False) -> Extension:
    """Extended key usage; none at all gives the empty SEQUENCE that X.509 forbids."""
    if not purposes:
        return Extension("2.5.29.37", b"\x30\x00", critical)
    return extension(x509.ExtendedKeyUsage(purposes), critical=critical)


def key_usage(*bits: str) -> x509.KeyUsage:
    """Key usage with the named bits set."""
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in every.split()})


def usage(*bits: str) -> Extension:
    """The same as an extension."""
    return extension(key_usage(*bits), critical=True)


def basic(*, ca: bool, pathlen: int | None = None, critical: bool = True) -> Extension:
    """Basic constraints."""
    return extension(x509.BasicConstraints(ca, pathlen), critical=critical)


def san(
    *,
    dns: Iterable[str | bytes] = (),
    uri: Iterable[str | bytes] = (),
    email: Iterable[str | bytes] = (),
    ip: Iterable[str | bytes] = (),
    directory: Iterable[bytes] = (),
    critical: bool = False,
) -> Extension:
    """Subject alternative names, unchecked: strings go in as their UTF-8, addresses as octets."""
    names = [
        *(der.encode(0x81, _octets(each)) for each in email),
        *(der.encode(0x82, _octets(each)) for each in dns),
        *(der.encode(0xA4, each) for each in directory),
        *(der.encode(0x86, _octets(each)) for each in uri),
        *(
            der.encode(0x87, each if isinstance(each, bytes) else ipaddress.ip_address(each).packed)
            for each in ip
        ),
    ]
    return Extension("2.5.29.17", der.encode(der.SEQUENCE, b"".join(names)), critical)


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


@dataclass(frozen=True)
class Draft:
    """What a certificate says. `extensions` replaces the defaults by OID through `plus`."""

    subject: bytes
    spki: bytes
    extensions: tuple[Extension, ...]
    not_before: int
    not_after: int
    serial: bytes = b"\x01"
    version: int | None = 2
    """Encoded value: 2 is v3; None leaves the field out, which is v1."""
    issuer: bytes | None = None
    """None: the signing authority's name."""

    def with_(self, **changes: Any) -> Self:
        """The same with other parts."""
        return dataclasses.replace(self, **changes)

    def plus(self, *added: Extension) -> Self:
        """The same with extensions added; one of the same type is replaced."""
        oids = {each.oid for each in added}
        kept = tuple(each for each in self.extensions if each.oid not in oids)
        return self.with_(extensions=kept + added)

    def without(self, *oids: str) -> Self:
        """The same without extensions of these OIDs."""
        kept = tuple(each for each in self.extensions if each.oid not in oids)
        return self.with_(extensions=kept)

    def tbs(self, issuer: bytes, algorithm: bytes) -> bytes:
        """DER of the TBSCertificate."""
        version = b"" if self.version is None else der.encode(0xA0, bytes((2, 1, self.version)))
        validity = der.encode(der.SEQUENCE, _time(self.not_before) + _time(self.not_after))
        extensions = b"".join(each.encoded() for each in self.extensions)
        if extensions:
            extensions = der.encode(0xA3, der.encode(der.SEQUENCE, extensions))
        serial = der.encode(der.INTEGER, self.serial)
        body = version + serial + algorithm + issuer + validity + self.subject + self.spki
        return der.encode(der.SEQUENCE, body + extensions)


def _time(seconds: int) -> bytes:
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if moment.year < 2050:
        return der.encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return der.encode(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


_ALGORITHMS: dict[tuple[str, str], str] = {
    ("ec", "sha1"): "1.2.840.10045.4.1",
    ("ec", "sha224"): "1.2.840.10045.4.3.1",
    ("ec", "sha256"): "1.2.840.10045.4.3.2",
    ("ec", "sha384"): "1.2.840.10045.4.3.3",
    ("ec", "sha512"): "1.2.840.10045.4.3.4",
    ("rsa", "md5"): "1.2.840.113549.1.1.4",
    ("rsa", "sha1"): "1.2.840.113549.1.1.5",
    ("rsa", "sha256"): "1.2.840.113549.1.1.11",
    ("ed25519", ""): "1.3.101.112",
    ("ed448", ""): "1.3.101.113",
}
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def _family(private_key: Any) -> str:
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return "ec"
    if isinstance(private_key, rsa.RSAPrivateKey):
        return "rsa"
    return "ed25519" if isinstance(private_key, ed25519.Ed25519PrivateKey) else "ed448"


def algorithm_identifier(private_key: Any, digest: str = "sha256") -> bytes:
    """DER AlgorithmIdentifier of a signature."""
    family = _family(private_key)
    oid = _ALGORITHMS[family, "" if family.startswith("ed") else digest]
    null = b"\x05\x00" if family == "rsa" else b""
    return der.encode(der.SEQUENCE, der.encode(der.OID, der.oid_content(oid)) + null)


def signature(private_key: Any, content: bytes, digest: str = "sha256") -> bytes:
    """The signature's octets."""
    made: bytes
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        made = private_key.sign(content, ec.ECDSA(_HASHES[digest]()))
    elif isinstance(private_key, rsa.RSAPrivateKey):
        made = private_key.sign(content, padding.PKCS1v15(), _HASHES[digest]())
    else:
        made = private_key.sign(content)
    return made


def assemble(tbs: bytes, algorithm: bytes, made: bytes) -> bytes:
    """DER of a certificate from its three parts, which need not fit each other."""
    return der.encode(der.SEQUENCE, tbs + algorithm + der.encode(der.BIT_STRING, b"\0" + made))


def sign(draft: Draft, issuer: bytes, private_key: Any, digest: str = "sha256") -> bytes:
    """DER of the certificate."""
    algorithm = algorithm_identifier(private_key, digest)
    tbs = draft.tbs(issuer if draft.issuer is None else draft.issuer, algorithm)
    return assemble(tbs, algorithm, signature(private_key, tbs, digest))


def key_identifier(public: bytes) -> bytes:
    """SHA-1 of the SubjectPublicKeyInfo: a name for a key, nothing more."""
    return hashlib.sha1(public, usedforsecurity=False).digest()


def identifiers(subject_key: bytes, issuer_key: bytes | None) -> tuple[Extension, ...]:
    """Subject and, with an issuer, authority key identifier."""
    ski = Extension("2.5.29.14", der.encode(0x04, key_identifier(subject_key)))
    if issuer_key is None:
        return (ski,)
    content = der.encode(0x80, key_identifier(issuer_key))
    return (ski, Extension("2.5.29.35", der.encode(der.SEQUENCE, content)))


@dataclass(frozen=True)
class Authority:
    """A name with a key, and the certificate that says so."""

    subject: bytes
    key: Any
    certificate: bytes

    def sign(self, draft: Draft, digest: str = "sha256") -> bytes:
        """Issue; the authority key identifier is filled in where the draft has none."""
        if draft.version == 2 and not any(each.oid == "2.5.29.35" for each in draft.extensions):
            draft = draft.plus(identifiers(b"", spki(self.key))[1])
        return sign(draft, self.subject, self.key, digest)


def client_draft(subject: bytes, private_key: Any, now: int, *more: Extension) -> Draft:
    """A blameless client certificate, valid from an hour ago for thirty days."""
    public = private_key if isinstance(private_key, bytes) else spki(private_key)
    return Draft(
        subject,
        public,
        (
            basic(ca=False),
            usage("digital_signature"),
            eku(CLIENT),
            identifiers(public, None)[0],
            *more,
        ),
        now - 3600,
        now + 30 * 86400,
        serial=b"\x01" + hashlib.sha256(subject + public).digest()[:15],
    )


def ca_draft(
    subject: bytes, private_key: Any, now: int, *more: Extension, pathlen: int | None = None
) -> Draft:
    """A blameless CA certificate, valid from a day ago for a year."""
    public = spki(private_key)
    return Draft(
        subject,
        public,
        (
            basic(ca=True, pathlen=pathlen),
            usage("key_cert_sign", "crl_sign"),
            identifiers(public, None)[0],
            *more,
        ),
        now - 86400,
        now + 365 * 86400,
        serial=b"\x02" + hashlib.sha256(subject + public).digest()[:15],
    )


def root(subject: bytes, private_key: Any, now: int, *more: Extension) -> Authority:
    """A self-signed CA."""
    draft = ca_draft(subject, private_key, now, *more)
    return Authority(subject, private_key, sign(draft, subject, private_key))


def below(
    issuer: Authority, subject: bytes, private_key: Any, now: int, *more: Extension, **options: Any
) -> Authority:
    """An intermediate CA under `issuer`."""
    draft = ca_draft(subject, private_key, now, *more, **options)
    return Authority(subject, private_key, issuer.sign(draft))
