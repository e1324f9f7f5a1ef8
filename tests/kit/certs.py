"""Simple certificates for tests of the TLS room: one server, and one client of each kind.

Hostile ones by the dozen are the business of another file; here each kind stands for a reason
why a common TLS server would end the handshake.
"""

import atexit
import datetime as dt
import functools
import ipaddress
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtensionOID, NameOID

from tests.kit.ca import key_usage

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Issuer = tuple[x509.Name, Key]

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key, as PEM files."""

    certificate_file: Path
    key_file: Path
    der: bytes
    """The leaf."""
    key: Key


@dataclass(frozen=True)
class Pki:
    """Everything a TLS test needs, in one directory of its own."""

    directory: Path
    ca_file: Path
    server: Pair
    clients: dict[str, Pair]


# Those that Python's ssl module is willing to present.
CLIENT_KINDS = (
    "pki",
    "self_signed",
    "expired",
    "unknown_ca",
    "unknown_critical",
    "server_only",
    "rsa_1024",
    "p521",
    "ed25519",
    "chain",
)


@functools.cache
def pki() -> Pki:
    """Made once per process; removed when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="certbound-tls-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    ca_key, ca = _ca("Test CA")
    issuer = (ca.subject, ca_key)
    (directory / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    return Pki(
        directory=directory,
        ca_file=directory / "ca.pem",
        server=issue(directory, "server", issuer, server=True),
        clients=_clients(directory, issuer, ca),
    )


def _clients(directory: Path, issuer: Issuer, ca: x509.Certificate) -> dict[str, Pair]:
    stranger_key, stranger = _ca("Unknown CA")
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\xff\xff\x00")
    # A SubjectAltName that is no ASN.1: OpenSSL's own clients refuse to load this certificate.
    garbage = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\xff\xff\x00")
    return {
        "pki": issue(directory, "pki", issuer),
        "self_signed": issue(directory, "self_signed", None),
        "expired": issue(directory, "expired", issuer, days=-1),
        "unknown_ca": issue(directory, "unknown_ca", (stranger.subject, stranger_key)),
        "unknown_critical": issue(directory, "unknown_critical", issuer, extra=unknown),
        "garbage_san": issue(directory, "garbage_san", issuer, extra=garbage),
        "server_only": issue(directory, "server_only", issuer, server=True),
        "rsa_1024": issue(
            directory,
            "rsa",
            issuer,
            key=rsa.generate_private_key(65537, 1024),  # noqa: S505 - weak on purpose
        ),
        "p521": issue(directory, "p521", issuer, key=ec.generate_private_key(ec.SECP521R1())),
        "ed25519": issue(directory, "ed", issuer, key=ed25519.Ed25519PrivateKey.generate()),
        "chain": issue(directory, "chain", issuer, chain=(ca,)),
    }


def _ca(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key, 30).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    builder = builder.add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return key, builder.sign(key, hashes.SHA256())


def issue(
    directory: Path,
    name: str,
    issuer: Issuer | None,
    *,
    key: Key | None = None,
    days: int = 30,
    server: bool = False,
    extra: x509.ExtensionType | None = None,
    chain: tuple[x509.Certificate, ...] = (),
) -> Pair:
    """Write ``<name>.pem`` and ``<name>.key``; without an issuer the certificate signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    purpose = x509.OID_SERVER_AUTH if server else x509.OID_CLIENT_AUTH
    builder = (
        _builder(subject, issuer_name, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if server:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if extra is not None:
        builder = builder.add_extension(extra, critical=True)
    algorithm = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(issuer_key, algorithm)
    return write(directory, name, (certificate, *chain), key)


def write(directory: Path, name: str, chain: tuple[x509.Certificate, ...], key: Key) -> Pair:
    """Put a chain and a key into files."""
    certificate_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    certificate_file.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Pair(certificate_file, key_file, chain[0].public_bytes(Encoding.DER), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now + days * _DAY)
    )
