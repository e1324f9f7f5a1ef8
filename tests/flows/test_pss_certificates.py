"""RSASSA-PSS: keys that are for nothing else (RFC 4055 section 1.2), and certificates signed with it.

Made by OpenSSL, presented over real TLS. The policy for RSA holds for them, and what a token is
bound to is the hash of the certificate as OpenSSL writes it.
"""

import hashlib
import re
import ssl
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from tests.kit import ledger, tokens
from tests.kit.issuing import issue
from tests.kit.running import Running

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SELF_SIGNED = ("--method", "self_signed_tls_client_auth")
SHA256 = ("digest:sha256", "mgf1_md:sha256", "saltlen:32")
"""Of a key that may make signatures of this kind only; without, of any."""


def openssl(*arguments: str | Path) -> None:
    """Run it, and have it succeed."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def pss_key(path: Path, *, bits: int = 2048, only: tuple[str, ...] = ()) -> Path:
    """A key with the algorithm id-RSASSA-PSS; `only`: the one kind of signature it is for."""
    names = {"digest": "md", "mgf1_md": "mgf1_md", "saltlen": "saltlen"}
    pairs = (each.split(":") for each in only)
    restricted = [f"rsa_pss_keygen_{names[name]}:{value}" for name, value in pairs]
    options = [word for each in restricted for word in ("-pkeyopt", each)]
    bits_option = ("-pkeyopt", f"rsa_keygen_bits:{bits}")
    openssl("genpkey", "-algorithm", "RSA-PSS", *bits_option, *options, "-out", path)
    return path


def certified(
    server: Running, name: str, key: Path, *signing: str, self_signed: bool = False
) -> Path:
    """``certs/<name>.crt`` over this key, by the development CA or by itself."""
    path = server.file(f"{name}.crt")
    path.with_suffix(".key").write_bytes(key.read_bytes())
    ca = server.file("ca.crt")
    by = () if self_signed else ("-CA", str(ca), "-CAkey", str(ca.with_suffix(".key")))
    openssl(
        *("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={name}", "-days", "30"),
        *by,
        *("-addext", "extendedKeyUsage=clientAuth"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", f"subjectAltName=DNS:{name}.example", *signing, "-out", str(path)),
    )
    return path


def thumbprint(path: Path) -> str:
    """RFC 8705 section 3.1, of the file."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def bound(server: Running, name: str) -> None:
    """Over both versions a token, which names this certificate."""
    for version in VERSIONS:
        with server.client(name, version=version) as http:
            token = tokens.issued(tokens.ask(http, server.mtls_token_url, name))
        confirmed = tokens.verified(server, token)["cnf"]["x5t#S256"]
        assert confirmed == thumbprint(server.file(f"{name}.crt"))


def why_not(server: Running, name: str) -> str:
    """The reason of the refusal, to a client that minds no weak key of its own."""
    tls = server.tls()
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    file = server.file(f"{name}.crt")
    tls.load_cert_chain(file, file.with_suffix(".key"))
    with httpx2.Client(verify=tls, timeout=20, trust_env=False) as http:
        return ledger.reason(server, tokens.refused(tokens.ask(http, server.mtls_token_url, name)))


@pytest.mark.parametrize("only", [(), SHA256], ids=["any", "sha256"])
def test_a_key_from_a_ca(server: Running, tmp_path: Path, only: tuple[str, ...]) -> None:
    """`tls_client_auth` with a PSS key: tokens, and the doctor finds as much."""
    name = f"pss-pki-{len(only)}"
    path = certified(server, name, pss_key(tmp_path / "k", only=only))
    server.certbound("client", "add", name, "--san-dns", f"{name}.example")
    bound(server, name)
    told = server.certbound("doctor", "cert", str(path), "--client", name)
    assert "key: RSA 2048" in told
    assert thumbprint(path) in server.certbound("client", "cert", "list", name)


@pytest.mark.parametrize("only", [(), SHA256], ids=["any", "sha256"])
def test_a_certificate_of_its_own(server: Running, tmp_path: Path, only: tuple[str, ...]) -> None:
    """`self_signed_tls_client_auth` by certificate: key and signature are PSS."""
    name = f"pss-own-{len(only)}"
    path = certified(server, name, pss_key(tmp_path / "k", only=only), self_signed=True)
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
    assert certificate.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
    server.certbound("client", "add", name, *SELF_SIGNED, "--cert", str(path))
    bound(server, name)
    found = server.certbound_json("doctor", "cert", str(path), "--client", name)
    assert found["answer"]["status"] == 200


def test_a_registered_key(server: Running, tmp_path: Path) -> None:
    """By key: whatever it signs over itself; the same key under rsaEncryption is the same key."""
    key = pss_key(tmp_path / "k")
    certified(server, "pss-key", key, self_signed=True)
    public = tmp_path / "pub"
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    server.certbound("client", "add", "pss-key", *SELF_SIGNED, "--public-key", str(public))
    bound(server, "pss-key")
    loaded = load_pem_private_key(key.read_bytes(), None)  # by its numbers: no longer PSS alone
    plain = issue(server.home / "certs", "pss-plain", key=loaded, self_signed=True)
    assert (
        b"rsaEncryption"
        in subprocess.run(
            ["openssl", "x509", "-in", plain, "-noout", "-text"], capture_output=True, check=True
        ).stdout
    )
    with server.client("pss-plain") as http:
        tokens.issued(tokens.ask(http, server.mtls_token_url, "pss-key"))


def test_a_ca_that_signs_with_pss(server: Running, tmp_path: Path) -> None:
    """A whole path of PSS keys and signatures, and a plain key under it."""
    ca_key, ca = pss_key(tmp_path / "ca.key", only=SHA256), tmp_path / "ca.crt"
    openssl(
        *("req", "-x509", "-new", "-key", str(ca_key), "-subj", "/CN=PSS CA", "-days", "30"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-out", str(ca)),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    server.certbound("trust", "add", "pss", str(ca))
    keys = {"pss-under": pss_key(tmp_path / "k"), "plain-under": tmp_path / "plain"}
    openssl("genpkey", "-algorithm", "RSA", "-out", keys["plain-under"])
    for name, key in keys.items():
        path = server.file(f"{name}.crt")
        path.with_suffix(".key").write_bytes(key.read_bytes())
        openssl(
            *(
                "req",
                "-x509",
                "-new",
                "-key",
                str(key),
                "-CA",
                str(ca),
                "-CAkey",
                str(ca_key),
                "-days",
                "20",
            ),
            *("-subj", f"/CN={name}", "-addext", "extendedKeyUsage=clientAuth", "-out", str(path)),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", f"subjectAltName=DNS:{name}.example"),
        )
        server.certbound("client", "add", name, "--san-dns", f"{name}.example", "--trust", "pss")
        bound(server, name)


@pytest.mark.parametrize("self_signed", [False, True], ids=["pki", "own"])
def test_a_short_key_is_weak(server: Running, tmp_path: Path, *, self_signed: bool) -> None:
    """1024 bits are refused under this name too, in HTTP and by the doctor."""
    name = f"pss-short-{self_signed}".lower()
    path = certified(server, name, pss_key(tmp_path / "k", bits=1024), self_signed=self_signed)
    if self_signed:
        assert (
            "RSA 1024"
            in server.problem("client", "add", name, *SELF_SIGNED, "--cert", str(path))["seen"]
        )
        return
    server.certbound("client", "add", name, "--san-dns", f"{name}.example")
    assert why_not(server, name) == "weak_key"
    assert "weak_key" in server.certbound(
        "doctor", "cert", str(path), "--client", name, check=False
    )


@pytest.mark.parametrize("digest", ["sha1", "sha224"])
def test_a_signature_with_a_weak_hash(server: Running, tmp_path: Path, digest: str) -> None:
    """The hash that is a parameter of PSS is looked at like any other."""
    name = f"pss-{digest}"
    key = pss_key(tmp_path / "k")
    certified(server, name, key, f"-{digest}", self_signed=True)
    public = tmp_path / "pub"
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    server.certbound("client", "add", name, *SELF_SIGNED, "--public-key", str(public))
    assert why_not(server, name) == "weak_signature"


def test_a_revoked_key_is_known_under_either_name(server: Running, tmp_path: Path) -> None:
    """`revoke cert --key` stops the certificate of the PSS key, and one over its plain form."""
    key = pss_key(tmp_path / "k")
    path = certified(server, "pss-stopped", key)
    server.certbound("client", "add", "pss-stopped", "--san-dns", "pss-stopped.example")
    bound(server, "pss-stopped")
    told = server.certbound("revoke", "cert", str(path), "--key")
    assert re.search("revoked|denied", told), told
    assert why_not(server, "pss-stopped") == "revoked"
    loaded = load_pem_private_key(key.read_bytes(), None)
    alias = x509.SubjectAlternativeName([x509.DNSName("pss-stopped.example")])
    issue(server.home / "certs", "pss-stopped", key=loaded, extensions=(alias,))
    assert why_not(server, "pss-stopped") == "revoked"
