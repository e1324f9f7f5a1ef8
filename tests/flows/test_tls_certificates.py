"""Every certificate whose key is proven reaches HTTP, where a refusal can be explained."""

import base64
import math
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.tls.listener import LoopName
from app.tls.peer import thumbprint
from tests.kit.certs import CLIENT_KINDS, Pair, issue, pki, write
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


def long_exponent_key() -> rsa.RSAPrivateKey:
    """An RSA key whose public exponent is as long as its modulus; its private one is short."""
    made = rsa.generate_private_key(65537, 2048).private_numbers()
    p, q = made.p, made.q
    period = math.lcm(p - 1, q - 1)
    d = next(d for d in range(65537, 2**20, 2) if math.gcd(d, period) == 1)
    public = rsa.RSAPublicNumbers(pow(d, -1, period), p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def client_of(directory: Path, exponent: int, modulus_bits: int) -> Pair:
    """A client with an ordinary key, whose issuer, sent along, has an RSA key of such numbers.

    Nobody has the private half of that; any RSA signature makes OpenSSL try it.
    """
    name = x509.Name.from_rfc4514_string("CN=issuer")
    other = pki().clients["rsa_1024"]
    key, dates = other.key, x509.load_der_x509_certificate(other.der)
    issuer = (
        x509.CertificateBuilder(name, name)
        .public_key(rsa.RSAPublicNumbers(exponent, 2**modulus_bits - 1).public_key())
        .serial_number(1)
        .not_valid_before(dates.not_valid_before_utc)
        .not_valid_after(dates.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    own = ec.generate_private_key(ec.SECP256R1())
    leaf = issue(directory, "leaf", (name, key), key=own)
    return write(directory, "chain", (x509.load_der_x509_certificate(leaf.der), issuer), own)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_costly_key_of_a_client_ends_in_an_alert(tmp_path: Path, version: str) -> None:
    """An exponent as long as the modulus: told in an alert, before a signature is checked with it."""
    client = issue(tmp_path, "costly", None, key=long_exponent_key())
    echo = Echo()
    with serving(echo) as server:
        with pytest.raises(ssl.SSLError, match="alert"):
            ask_once(server.port, client=client, version=VERSIONS[version][0])
        assert ask_once(server.port).status == 200
    assert len(echo.seen) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_costly_key_of_an_issuer_ends_in_an_alert(tmp_path: Path, version: str) -> None:
    """OpenSSL checks the leaf's signature against an issuer sent along: not with every key."""
    tls_version = VERSIONS[version][0]
    with serving(Echo()) as server:
        for exponent, bits in ((65537, 3072), (2**32 + 1, 3072), (65537, 8192)):
            client = client_of(tmp_path, exponent, bits)
            assert ask_once(server.port, client=client, version=tls_version).status == 200
        for exponent, bits in ((2**34 + 1, 3072), (2**2000 + 1, 3072), (65537, 8193)):
            client = client_of(tmp_path, exponent, bits)
            with pytest.raises(ssl.SSLError, match="alert"):
                ask_once(server.port, client=client, version=tls_version)


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_keys_on_other_curves_never_sign(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """TLS 1.2 ends in an alert; with TLS 1.3 the client presents nothing, and HTTP can say so."""
    client = issue(tmp_path, "curve", None, key=ec.generate_private_key(curve))
    with serving(Echo()) as server:
        with pytest.raises(ssl.SSLError, match="alert illegal parameter"):
            ask_once(server.port, client=client, version=ssl.TLSVersion.TLSv1_2)
        seen = ask_once(server.port, client=client, version=ssl.TLSVersion.TLSv1_3).json()
    assert seen["thumbprint"] is None
