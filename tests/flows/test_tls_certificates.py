"""Every certificate whose key is proven reaches HTTP, where a refusal can be explained."""

import base64
import ssl

import pytest

from app.tls.listener import LoopName
from app.tls.peer import thumbprint
from tests.kit.certs import CLIENT_KINDS, pki
from tests.kit.server import LOOPS, Echo, serving
from tests.kit.wire import ask, ask_once, connected, get

VERSIONS = {
    "TLSv1.2": (ssl.TLSVersion.TLSv1_2, 0x0303),
    "TLSv1.3": (ssl.TLSVersion.TLSv1_3, 0x0304),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_certificate_reaches_the_application(loop: LoopName, version: str) -> None:
    """Whatever the certificate, the scope carries its bytes and the server proves it read them."""
    tls_version, number = VERSIONS[version]
    with serving(Echo(), loop=loop) as server:
        for kind in CLIENT_KINDS:
            client = pki().clients[kind]
            response = ask_once(server.port, client=client, version=tls_version)
            seen = response.json()
            assert response.status == 200, kind
            assert seen["thumbprint"] == thumbprint(client.der), kind
            assert seen["tls"] == version
            assert seen["error"] is None
            assert seen["scheme"] == "https"
            extension = seen["extension"]
            assert extension["tls_version"] == number
            assert extension["client_cert_error"] is None
            leaf = extension["client_cert_chain"][0]
            assert ssl.PEM_cert_to_DER_cert(leaf) == client.der


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_certificate_reaches_the_application(loop: LoopName, version: str) -> None:
    """No certificate is asked of anyone: peer is None and the chain is empty, on both ports."""
    with serving(Echo(), loop=loop) as server:
        for port in (server.port, server.mtls_port):
            seen = ask_once(port, version=VERSIONS[version][0]).json()
            assert seen["thumbprint"] is None
            assert seen["error"] is None
            assert seen["extension"]["client_cert_chain"] == []


def test_the_leaf_stands_first_and_the_rest_is_path_material() -> None:
    """What follows the leaf is handed over in order and never as the identity."""
    client = pki().clients["chain"]
    with serving(Echo()) as server:
        seen = ask_once(server.port, client=client).json()
    pems = client.certificate_file.read_text().strip().split("-----END CERTIFICATE-----\n")
    ders = [base64.b64decode(pem.split("-----")[2]) for pem in pems]
    assert seen["others"] == 1
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in seen["extension"]["client_cert_chain"]] == ders
    assert seen["thumbprint"] == thumbprint(client.der)


@pytest.mark.parametrize("version", VERSIONS)
def test_cipher_is_named_and_numbered(version: str) -> None:
    """The suite in the scope is the one the client negotiated, with its IANA number."""
    with serving(Echo()) as server, connected(server.port, None, VERSIONS[version][0]) as client:
        negotiated = client.cipher()
        seen = ask(client, get()).json()
    assert negotiated is not None
    assert seen["extension"]["cipher_suite"] in {0x1301, 0xC02B}
    numbers = {each["name"]: each["id"] & 0xFFFF for each in client.context.get_ciphers()}
    assert seen["extension"]["cipher_suite"] == numbers[negotiated[0]]


@pytest.mark.parametrize("loop", LOOPS)
def test_identity_never_crosses_between_connections(loop: LoopName) -> None:
    """A thousand requests, interleaved over connections of different clients: each is itself."""
    kinds = (None, "pki", "self_signed", "expired")
    with serving(Echo(), loop=loop) as server:
        clients = [pki().clients[kind] if kind else None for kind in kinds]
        with (
            connected(server.port, clients[0]) as none,
            connected(server.port, clients[1]) as first,
            connected(server.mtls_port, clients[2]) as second,
            connected(server.mtls_port, clients[3]) as third,
        ):
            for _ in range(250):
                for client, connection in zip(clients, (none, first, second, third), strict=True):
                    connection.sendall(get())
                    expected = thumbprint(client.der) if client else None
                    seen = ask(connection, b"").json()
                    assert seen["thumbprint"] == expected
