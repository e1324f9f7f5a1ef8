"""The JDK's own HTTP client, which sends a certificate only to servers that would take any."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.kit import ledger, tokens
from tests.kit.issuing import key_of
from tests.kit.running import ROOT, Running

PROGRAM = ROOT / "tests" / "clients" / "java" / "Token.java"
PASSWORD = "no secret: the stores live as long as the test"  # noqa: S105 - as it says
LIMIT = 60.0
"""Seconds; a single-file program is compiled first."""


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled program is; skips where there is no JDK."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("a JDK (java and javac) is needed to run tests/clients/java/Token.java")
    folder = tmp_path_factory.mktemp("java")
    subprocess.run(
        ["javac", "-d", str(folder), str(PROGRAM)],
        check=True,
        timeout=LIMIT,
        capture_output=True,
    )
    return folder


def stores(server: Running, name: str, folder: Path) -> tuple[Path, Path]:
    """The client's certificate and key, and the CA to trust, as Java wants them: PKCS#12."""
    mine, trust = folder / f"{name}.p12", folder / "trust.p12"
    encryption = BestAvailableEncryption(PASSWORD.encode())
    certificate = server.file(f"{name}.crt")
    mine.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"client",
            key_of(certificate),
            x509.load_pem_x509_certificate(certificate.read_bytes()),
            None,
            encryption,
        )
    )
    ca = x509.load_pem_x509_certificate(server.file("ca.crt").read_bytes())
    trust.write_bytes(
        pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(ca, b"ca")], encryption)
    )
    return mine, trust


def run(classes: Path, server: Running, name: str, url: str, folder: Path) -> tuple[int, str]:
    """Status and body that the Java client got."""
    mine, trust = stores(server, name, folder)
    arguments = [url, name, str(mine), str(trust), PASSWORD]
    done = subprocess.run(
        ["java", "-cp", str(classes), "Token", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.partition("\n")
    return int(status), body


@pytest.mark.parametrize("listener", ["main", "mtls"])
def test_java_presents_a_pki_certificate(
    classes: Path, server: Running, tmp_path: Path, listener: str
) -> None:
    """A certificate of the development CA, on either listener."""
    url = server.token_url if listener == "main" else server.mtls_token_url
    status, body = run(classes, server, "bot", url, tmp_path)
    assert status == 200, body
    assert tokens.verified(server, _token(body))["client_id"] == "bot"


def test_java_presents_a_self_signed_certificate(
    classes: Path, server: Running, tmp_path: Path
) -> None:
    """The server lists no CA names: Java withholds a certificate whose issuer is not listed."""
    server.certbound("ca", "issue", "java-own", "--self-signed", "--key-type", "rsa")
    method = ("--method", "self_signed_tls_client_auth")
    server.certbound(
        "client", "add", "java-own", *method, "--cert", str(server.file("java-own.crt"))
    )
    status, body = run(classes, server, "java-own", server.mtls_token_url, tmp_path)
    assert status == 200, body
    assert tokens.verified(server, _token(body))["client_id"] == "java-own"


def test_java_is_told_why_in_http(classes: Path, server: Running, tmp_path: Path) -> None:
    """An unregistered certificate reaches the server and is refused in HTTP, not in the handshake."""
    server.certbound("ca", "issue", "java-stranger", "--self-signed")
    status, body = run(classes, server, "java-stranger", server.mtls_token_url, tmp_path)
    assert status == 401
    entry = ledger.refusal(server, json.loads(body)["error_ref"])
    assert entry["reason"] == "client_unknown"
    assert entry["certificate"]["subject"] == "CN=java-stranger"


def _token(body: str) -> str:
    token: str = json.loads(body)["access_token"]
    return token
