"""What the handshake brought, as bytes."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from app.tls.limits import Limits
from app.tls.presented import pem
from tests.kit.certs import CLIENT_KINDS, issue, pki
from tests.kit.server import Echo, serving
from tests.kit.wire import ask_once


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_pem_is_what_everybody_writes(kind: str) -> None:
    """Lines of 64 characters with a final newline, as OpenSSL writes and Python's ssl reads them."""
    client = pki().clients[kind]
    assert client.certificate_file.read_text().startswith(pem(client.der))
    assert ssl.PEM_cert_to_DER_cert(pem(client.der)) == client.der


def test_the_byte_cap_counts_the_whole_chain(tmp_path: Path) -> None:
    """More DER than the cap: no identity, and the request still reaches the application."""
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x" * 33_000)
    large = issue(tmp_path, "large", None, extra=filler)
    small = pki().clients["self_signed"]  # OpenSSL adds what it finds in its own store
    with serving(Echo()) as server:
        seen = ask_once(server.port, client=large).json()
        assert (seen["thumbprint"], seen["error"]) == (None, "certificate_malformed")
        assert seen["extension"]["client_cert_chain"] == []
        assert ask_once(server.port, client=small).json()["error"] is None
    with serving(Echo(), limits=Limits(max_chain_bytes=len(small.der))) as server:
        assert ask_once(server.port, client=small).json()["error"] is None
    with serving(Echo(), limits=Limits(max_chain_bytes=len(small.der) - 1)) as server:
        assert ask_once(server.port, client=small).json()["error"] == "certificate_malformed"
