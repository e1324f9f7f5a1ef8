"""What the kit calls sendable really crosses a TLS handshake with our own context, byte for byte."""

import contextlib
import functools
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL, crypto

from app.pki import devca
from app.tls import context
from tests.kit.hostile_cases import hostile_cases
from tests.kit.world import Hostile, World


@functools.cache
def sendable() -> dict[str, Hostile]:
    """The cases that a TLS client can present."""
    return {case.name: case for case in hostile_cases(World()) if case.wire}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    """The real listener's context."""
    directory = tmp_path_factory.mktemp("server")
    devca.init(directory)
    issued = devca.issue(directory, "server", san_dns=["localhost"], server=True)
    return context.build(issued.certificate, issued.key)


def client_context(case: Hostile, version: int, directory: Path) -> SSL.Context:
    """An OpenSSL client that has no scruples."""
    found = SSL.Context(SSL.TLS_CLIENT_METHOD)
    found.set_min_proto_version(version)
    found.set_max_proto_version(version)
    found.set_cipher_list(b"ALL:@SECLEVEL=0")
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_text("".join(map(ssl.DER_cert_to_PEM_cert, case.chain)))
    key.write_bytes(case.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found.use_certificate_chain_file(str(chain))
    found.use_privatekey_file(str(key))
    return found


def handshake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Both sides in memory, until both are done."""
    waiting = {client, server}
    for _ in range(20):
        for here, there in ((client, server), (server, client)):
            if here in waiting:
                with contextlib.suppress(SSL.WantReadError):
                    here.do_handshake()
                    waiting.discard(here)
            with contextlib.suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(1 << 17))
        if not waiting:
            return
    raise TimeoutError


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("name", sorted(sendable()))
def test_crosses_the_handshake(
    server: SSL.Context, tmp_path: Path, name: str, version: int
) -> None:
    """The server ends up holding exactly the octets of the case's leaf."""
    case = sendable()[name]
    client = SSL.Connection(client_context(case, version, tmp_path))
    client.set_connect_state()
    accepting = SSL.Connection(server)
    accepting.set_accept_state()
    handshake(client, accepting)
    leaf = accepting.get_peer_certificate()
    assert leaf is not None
    assert crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf) == case.chain[0]
