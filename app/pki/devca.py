"""The development CA: certificates for trying certbound out, made in one command each.

Guarantees: private keys are created with mode 0600 and never overwritten; a file appears whole or
not at all; what is issued passes this server's own checks. It is no CA for production: its key
lies unencrypted beside the certificates, and it keeps no record of what it issued.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app import clock
from app.pki import dn_text, subject_match
from app.pki.new_files import create_pair

CA_NAME = "certbound development CA"
CA_DAYS = 1825  # five years: outlives any trial, and a forgotten one still ends
LEAF_DAYS = 90  # a quarter: long enough to come back to, short enough to practise renewal
_BACKDATE = timedelta(seconds=60)  # clocks of client and server differ by a little
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class BadValue(ValueError):
    """One of the values to be issued is malformed; the message is the rule it breaks."""

    def __init__(self, seen: str, rule: str) -> None:
        super().__init__(rule)
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a certificate and its private key are."""

    certificate: Path
    key: Path


def init(directory: Path, *, days: int = CA_DAYS) -> Issued:
    """Make ``ca.crt`` and ``ca.key``. Raises FileExistsError where either exists, OSError."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Every home has one: a name of its own says whose certificate was refused where.
    common_name = f"{CA_NAME} {secrets.token_hex(3)}"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(name, name, key.public_key(), clock.now() + days * 86400)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _written(directory, "ca", certificate, key)


def issue(
    directory: Path,
    name: str,
    *,
    dn: str | None = None,
    san_dns: Sequence[str] = (),
    san_uri: Sequence[str] = (),
    san_ip: Sequence[str] = (),
    san_email: Sequence[str] = (),
    days: int | None = None,
    hours: int | None = None,
    self_signed: bool = False,
    key_type: Literal["ec", "rsa"] = "ec",
    server: bool = False,
    out: Path | None = None,
) -> Issued:
    """Make ``NAME.crt`` and ``NAME.key``, for a TLS client or, with `server`, a TLS server.

    The CA is in `directory`; the files go there too, or to `out`.

    The subject is `dn` in any spelling `app.pki.dn_text` reads, by default ``CN=NAME``. Ends
    with the CA at the latest. Raises ValueError for people, FileExistsError, FileNotFoundError
    without a CA.
    """
    if not _NAME.match(name) or name.lower() == "ca":
        raise BadValue(
            name,
            "a certificate name is 1 to 64 letters, digits, dots, dashes or underscores, not 'ca'",
        )
    key = _new_key(key_type)
    subject = _subject(dn, name)
    ends = clock.now() + _lifetime(days, hours)
    if self_signed:
        issuer, issuer_key, ca_certificate = subject, key, None
    else:
        ca_certificate, issuer_key = _load_ca(directory)
        issuer = ca_certificate.subject
        ends = min(ends, int(ca_certificate.not_valid_after_utc.timestamp()))
    builder = _builder(subject, issuer, key.public_key(), ends)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_key_usage(ca=False), critical=True)
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if sans := _sans(san_dns, san_uri, san_ip, san_email):
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    if ca_certificate is not None:
        builder = builder.add_extension(_authority_key(ca_certificate), critical=False)
    return _written(out or directory, name, builder.sign(issuer_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    ends: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(clock.now(), UTC) - _BACKDATE)
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _new_key(key_type: Literal["ec", "rsa"]) -> PrivateKey:
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _lifetime(days: int | None, hours: int | None) -> int:
    if days is not None and hours is not None:
        raise ValueError("give the lifetime in days or in hours, not both")
    seconds = hours * 3600 if hours is not None else (LEAF_DAYS if days is None else days) * 86400
    if seconds <= 0:
        raise ValueError("the lifetime must be positive")
    return seconds


def _subject(text: str | None, name: str) -> x509.Name:
    try:
        structure = dn_text.parse(f"CN={name}" if text is None else text)
    except ValueError as error:
        raise BadValue(text or name, str(error)) from error
    rdns = []
    for rdn in structure:
        if any(isinstance(attribute.value, bytes) for attribute in rdn):
            raise ValueError("the development CA issues text attributes only")
        rdns.append(
            x509.RelativeDistinguishedName(
                x509.NameAttribute(x509.ObjectIdentifier(attribute.oid), str(attribute.value))
                for attribute in rdn
            )
        )
    return x509.Name(rdns)


def _sans(
    dns: Sequence[str], uri: Sequence[str], ip: Sequence[str], email: Sequence[str]
) -> list[x509.GeneralName]:
    """The names, each held to what `register` takes, so that every one can be registered."""

    def texts(attribute: str, values: Sequence[str]) -> list[str]:
        return [_registered(attribute, value).text for value in values]

    return [
        *(x509.DNSName(each) for each in texts("san_dns", dns)),
        *(x509.UniformResourceIdentifier(each) for each in texts("san_uri", uri)),
        *(x509.IPAddress(ip_address(each)) for each in texts("san_ip", ip)),
        *(x509.RFC822Name(each) for each in texts("san_email", email)),
    ]


def _registered(attribute: str, value: str) -> subject_match.SubjectMatch:
    try:
        return subject_match.register(attribute, value)
    except ValueError as error:
        raise BadValue(value, str(error)) from error


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _load_ca(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    except FileNotFoundError as problem:
        raise FileNotFoundError(
            f"no development CA in {directory}; make one: certbound ca init"
        ) from problem
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise ValueError(f"{directory}/ca.key does not belong to ca.crt")
    return certificate, key


def _written(directory: Path, name: str, certificate: x509.Certificate, key: PrivateKey) -> Issued:
    issued = Issued(directory / f"{name}.crt", directory / f"{name}.key")
    create_pair(
        (issued.key, 0o600, _pem(key)),
        (issued.certificate, 0o644, certificate.public_bytes(serialization.Encoding.PEM)),
    )
    return issued


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
