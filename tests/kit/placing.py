"""Certificates and CRLs of the kit's authorities, as files in a server's home."""

import ssl
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app import clock
from tests.kit import ca
from tests.kit.ca import Authority, Draft, Extension, client_draft
from tests.kit.running import Running


def root(label: str) -> Authority:
    """A root CA of its own name and key."""
    return ca.root(ca.name(("O", label)), ca.key(label=label), clock.now())


def issuing(above: Authority, label: str) -> Authority:
    """An intermediate CA below `above`."""
    return ca.below(above, ca.name(("O", label)), ca.key(label=label), clock.now())


def pem(path: Path, *certificates: bytes) -> Path:
    """A file of certificates, the first one first."""
    path.write_text("".join(map(ssl.DER_cert_to_PEM_cert, certificates)))
    return path


def authority_file(server: Running, authority: Authority, name: str) -> Path:
    """``certs/<name>.pem``: the CA's certificate."""
    return pem(server.home / "certs" / f"{name}.pem", authority.certificate)


def place(
    server: Running,
    name: str,
    authority: Authority,
    *more: Extension,
    key: Any = None,
    above: tuple[Authority, ...] = (),
    subject: str | None = None,
) -> bytes:
    """``certs/<name>.crt`` with its key: a client's certificate, those of the CAs `above` behind it.

    Its subject is ``CN=<name>`` unless another is given; returns its DER.
    """
    private_key = key or ca.key(label=f"client {name}")
    common_name = ca.name(("CN", subject or name))
    return place_draft(
        server,
        name,
        authority,
        client_draft(common_name, private_key, clock.now(), *more),
        private_key,
        above=above,
    )


def place_draft(
    server: Running,
    name: str,
    authority: Authority,
    draft: Draft,
    private_key: Any,
    *,
    above: tuple[Authority, ...] = (),
) -> bytes:
    """The same for any draft, and the key it was made with."""
    certificate = authority.sign(draft)
    pem(server.file(f"{name}.crt"), certificate, *(each.certificate for each in above))
    server.file(f"{name}.key").write_bytes(
        private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return certificate


def crl_file(server: Running, name: str, der: bytes) -> Path:
    """``certs/<name>.crl``."""
    path = server.home / "certs" / f"{name}.crl"
    path.write_bytes(der)
    return path
