"""Certificates the command line does not make: for seconds, for given keys, with anything inside."""

import datetime as dt
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def issue(
    folder: Path,
    name: str,
    *,
    seconds: int = 3600,
    key: Any = None,
    self_signed: bool = False,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> Path:
    """``<name>.crt`` and ``<name>.key`` in `folder`, where the development CA is; the certificate.

    Valid for `seconds` from now, subject ``CN=<name>``, for TLS clients.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority, authority_key = subject, key
    if not self_signed:
        ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        loaded: Any = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        authority, authority_key = ca.subject, loaded
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(seconds=seconds))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    path = folder / f"{name}.crt"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


def key_of(path: Path) -> Any:
    """The private key beside a certificate."""
    return load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
