"""The development CA of a home as the kit's builders take it: for CRLs and odd certificates."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.kit.ca import Authority


def authority_of(home: Path) -> Authority:
    """``certs/ca.crt`` with its key."""
    certificate = x509.load_pem_x509_certificate((home / "certs" / "ca.crt").read_bytes())
    key = load_pem_private_key((home / "certs" / "ca.key").read_bytes(), None)
    return Authority(
        certificate.subject.public_bytes(), key, certificate.public_bytes(Encoding.DER)
    )


def serial_of(path: Path) -> int:
    """The serial number of the first certificate of a PEM file."""
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number
