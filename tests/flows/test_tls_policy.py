"""The TLS policy as others see it: protocols, suites, no resumption, alerts instead of silence."""

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from app.tls.context import TLS12_SUITES, TLS13_SUITES
from app.tls.listener import LoopName
from tests.kit import hostile
from tests.kit.certs import issue, pki
from tests.kit.hostile import TLSRemoteAlert
from tests.kit.server import LOOPS, Echo, Running, serving
from tests.kit.wire import ask, client_context, get

_SSLYZE = Path(__file__).parents[2] / ".venv-sslyze" / "bin" / "sslyze"
_DECRYPT_ERROR = 51


@pytest.fixture(scope="module")
def echo() -> Echo:
    """The application behind `server`."""
    return Echo()


@pytest.fixture(scope="module")
def server(echo: Echo) -> Iterator[Running]:
    """One server for all policy tests."""
    with serving(echo) as running:
        yield running


@pytest.fixture(scope="module")
def rsa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same with an RSA certificate, for the suites named after RSA."""
    key = rsa.generate_private_key(65537, 2048)
    pair = issue(tmp_path_factory.mktemp("rsa"), "server", None, key=key, server=True)
    with serving(Echo(), server=pair) as running:
        yield running


def openssl(port: int, *arguments: str, send: str = "") -> str:
    """What ``openssl s_client`` prints."""
    client = pki().clients["pki"]
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}"),
            *("-cert", str(client.certificate_file), "-key", str(client.key_file)),
            *arguments,
        ],
        input=send,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def negotiated(output: str) -> str | None:
    """The suite that ``s_client`` reports, None where there was no handshake."""
    found = re.search(r"Cipher is (\S+)", output)
    return found[1] if found and found[1] != "(NONE)" else None


@pytest.mark.parametrize("suite", TLS13_SUITES)
def test_tls13_suites(server: Running, suite: str) -> None:
    """Each listed TLS 1.3 suite is spoken."""
    assert negotiated(openssl(server.port, "-tls1_3", "-ciphersuites", suite)) == suite


@pytest.mark.parametrize("suite", TLS12_SUITES)
def test_tls12_suites(server: Running, rsa_server: Running, suite: str) -> None:
    """Each listed TLS 1.2 suite is spoken, by a server with that kind of certificate."""
    port = rsa_server.port if "-RSA-" in suite else server.port
    assert negotiated(openssl(port, "-tls1_2", "-cipher", suite)) == suite


@pytest.mark.parametrize("protocol", ["-tls1_1", "-tls1"])
def test_older_protocols_get_an_alert(server: Running, protocol: str) -> None:
    """TLS 1.1 and below are refused, and the client is told."""
    output = openssl(server.port, protocol, "-cipher", "ALL:@SECLEVEL=0")
    assert negotiated(output) is None
    assert "alert" in output


def test_no_other_suite_is_spoken(server: Running, rsa_server: Running) -> None:
    """A client that offers everything but the listed suites gets handshake_failure."""
    unwanted = ":".join(["ALL:COMPLEMENTOFALL", *(f"!{suite}" for suite in TLS12_SUITES)])
    for port in (server.port, rsa_server.port):
        output = openssl(port, "-tls1_2", "-cipher", f"{unwanted}:@SECLEVEL=0")
        assert negotiated(output) is None
        assert "alert handshake failure" in output


def test_the_server_chooses(server: Running) -> None:
    """The server's preference counts, not the client's."""
    reverse = ":".join(reversed(TLS12_SUITES))
    chosen = negotiated(openssl(server.port, "-tls1_2", "-cipher", reverse))
    assert chosen == "ECDHE-ECDSA-AES128-GCM-SHA256"


def test_no_ca_names_are_sent(server: Running) -> None:
    """The certificate request names no CA: Java clients would send nothing otherwise."""
    for protocol in ("-tls1_2", "-tls1_3"):
        output = openssl(server.port, protocol)
        assert "No client certificate CA names sent" in output
        assert "Requested Signature Algorithms" in output


def test_weak_signatures_are_not_asked_for(server: Running) -> None:
    """No SHA-1 and no SHA-224 in the certificate request."""
    output = openssl(server.port, "-tls1_2")
    requested = re.search(r"Requested Signature Algorithms: (.*)", output)
    assert requested is not None
    assert "SHA1" not in requested[1]
    assert "SHA224" not in requested[1]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_ever_resumed(loop: LoopName, version: ssl.TLSVersion) -> None:
    """A session offered again, on either port, ends in a full handshake with the new certificate."""
    with serving(Echo(), loop=loop) as server:
        context = client_context(pki().clients["pki"], version)
        with (
            socket.create_connection(("127.0.0.1", server.port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as first,
        ):
            ask(first, get())  # TLS 1.3 tickets come after the handshake
            session = first.session
        for port in (server.port, server.mtls_port):
            with (
                socket.create_connection(("127.0.0.1", port), 10) as raw,
                context.wrap_socket(raw, server_hostname="localhost", session=session) as second,
            ):
                assert ask(second, get()).json()["thumbprint"] is not None
                assert second.session_reused is False


def test_openssl_cannot_resume_either(server: Running, tmp_path: Path) -> None:
    """The same seen by ``openssl s_client -sess_out`` and ``-sess_in``; TLS 1.2 leaves nothing to keep."""
    kept = tmp_path / "session.pem"
    openssl(server.port, "-tls1_2", "-sess_out", str(kept), "-ign_eof", send=CLOSE)
    assert not kept.exists()
    openssl(server.port, "-tls1_3", "-sess_out", str(kept), "-ign_eof", send=CLOSE)
    assert kept.exists()
    second = openssl(server.port, "-tls1_3", "-sess_in", str(kept), "-ign_eof", send=CLOSE)
    assert "New, TLSv1.3" in second
    assert "Reused, TLSv1.3" not in second


CLOSE = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_early_data_is_never_offered(server: Running) -> None:
    """Tickets allow no early data."""
    output = openssl(server.port, "-tls1_3", "-ign_eof", send=CLOSE)
    assert "Early data was not sent" in output
    assert re.findall(r"Max Early Data: (\d+)", output) in ([], ["0", "0"])


def test_renegotiation_is_refused(server: Running) -> None:
    """A TLS 1.2 client that asks for a second handshake is told that there is none."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.settimeout(None)  # pyOpenSSL takes blocking sockets
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        connection.do_handshake()
        assert connection.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            connection.do_handshake()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [hostile.TLS12, hostile.TLS13])
def test_a_certificate_without_its_key_is_refused(loop: LoopName, version: tuple[int, int]) -> None:
    """A CertificateVerify by another key ends in decrypt_error, which the client gets to read."""
    victim, thief = pki().clients["pki"], pki().clients["self_signed"]
    echo = Echo()
    with serving(echo, loop=loop) as server:
        for _ in range(10):
            with (
                pytest.raises(TLSRemoteAlert) as caught,
                hostile.handshake(
                    server.port, (victim.der,), thief.key_file, version
                ) as connection,
            ):
                hostile.ask(connection, get())
            assert caught.value.description == _DECRYPT_ERROR
    assert echo.seen == []


@pytest.mark.parametrize("version", [hostile.TLS12, hostile.TLS13])
def test_a_certificate_no_client_library_would_load(
    server: Running, version: tuple[int, int]
) -> None:
    """A SubjectAltName of garbage reaches HTTP like every other certificate."""
    client = pki().clients["garbage_san"]
    with hostile.handshake(server.port, (client.der,), client.key_file, version) as connection:
        assert hostile.ask(connection, get()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", [hostile.TLS12, hostile.TLS13])
def test_too_many_certificates_reach_http_without_identity(
    server: Running, echo: Echo, version: tuple[int, int]
) -> None:
    """Eleven certificates: no peer, ``certificate_malformed``, and the application decides."""
    client = pki().clients["pki"]
    for count, error in ((10, None), (11, "certificate_malformed")):
        with hostile.handshake(
            server.port, (client.der,) * count, client.key_file, version
        ) as connection:
            assert hostile.ask(connection, get()).startswith(b"HTTP/1.1 200 ")
        state = echo.seen[-1]["state"]
        assert state["certbound.peer_error"] == error
        assert (state["certbound.peer"] is None) is (error is not None)
        extension = echo.seen[-1]["extensions"]["tls"]
        assert extension["client_cert_error"] == error
        assert len(extension["client_cert_chain"]) == (0 if error else 10)


def test_the_victims_certificate_behind_ones_own_is_nobody(server: Running, echo: Echo) -> None:
    """Only the leaf whose key signed is the peer (CVE-2023-2422)."""
    own, victim = pki().clients["self_signed"], pki().clients["pki"]
    with hostile.handshake(server.port, (own.der, victim.der), own.key_file) as connection:
        hostile.ask(connection, get())
    peer = echo.seen[-1]["state"]["certbound.peer"]
    assert peer.der == own.der
    assert peer.presented == (victim.der,)


def test_compressed_certificates_are_refused(server: Running) -> None:
    """RFC 8879 is not offered, so a client that compresses anyway is told it broke the protocol."""
    client = pki().clients["pki"]
    with (
        pytest.raises(TLSRemoteAlert),
        hostile.handshake(
            server.port, (client.der,), client.key_file, compress_certificate=True
        ) as connection,
    ):
        hostile.ask(connection, get())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_flood_of_key_updates_is_cut_off(loop: LoopName) -> None:
    """A client that only ever updates its keys is not served for ever."""
    client = pki().clients["pki"]
    with (
        serving(Echo(), loop=loop) as server,
        hostile.handshake(server.port, (client.der,), client.key_file) as connection,
        pytest.raises((OSError, TLSRemoteAlert)),
    ):
        hostile.update_keys(connection, 100_000, answer=False)


def test_a_few_key_updates_are_fine(server: Running) -> None:
    """RFC 8446 section 4.6.3: a client may change its keys between requests."""
    client = pki().clients["pki"]
    with hostile.handshake(server.port, (client.der,), client.key_file) as connection:
        for _ in range(20):
            hostile.update_keys(connection, 1, answer=True)
            assert hostile.ask(connection, get()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "clear_text",
    [get(), get(close=True), b"\x00" * 100, b"\xff" * 5, b"SSH-2.0-x\r\n", b"\x16" * 6],
)
def test_clear_text_never_reaches_the_application(loop: LoopName, clear_text: bytes) -> None:
    """HTTP or noise without TLS gets at most an alert (CVE-2023-40217)."""
    echo = Echo()
    with serving(echo, loop=loop) as server:
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            raw.sendall(clear_text)
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := raw.recv(1000):
                answer += piece
        assert answer[:1] in (b"", b"\x15")
        assert len(answer) <= 7
    assert echo.seen == []


@pytest.mark.parametrize("name", [None, "localhost", "LOCALHOST", "unknown.example"])
def test_the_server_name_changes_nothing(server: Running, name: str | None) -> None:
    """No SNI, an odd or an unknown one: the same policy, the certificate is asked for."""
    context = client_context(pki().clients["pki"])
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", server.port), 10) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        assert ask(connection, get()).json()["thumbprint"] is not None


def test_a_fragmented_client_hello_changes_nothing(server: Running) -> None:
    """A ClientHello in many small records gets the same handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(pki().clients["pki"]).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()[5:]
        for start in range(0, len(hello), 40):
            piece = hello[start : start + 40]
            raw.sendall(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        client.write(get())
        raw.sendall(outgoing.read())
        answer = b""
        while b"thumbprint" not in answer:
            incoming.write(raw.recv(65536))
            try:
                answer += client.read(65536)
            except ssl.SSLWantReadError:
                continue
    assert b'"thumbprint": null' not in answer


def test_sslyze_finds_nothing(server: Running, tmp_path: Path) -> None:
    """An independent scanner sees two protocols, AEAD with ephemeral keys, and no known weakness."""
    if not _SSLYZE.exists():
        pytest.skip(f"sslyze is not installed: {_SSLYZE} (from requirements-sslyze.lock)")
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(_SSLYZE, "--quiet", "--mozilla_config", "disable", "--json_out", report),
            *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"),
            *("--compression", "--early_data", "--openssl_ccs", "--fallback", "--heartbleed"),
            *("--robot", "--reneg", "--resum", "--ems", "--elliptic_curves"),
            f"127.0.0.1:{server.port}",
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    (scan,) = json.loads(report.read_text())["server_scan_results"]
    results = {
        name: found["result"]
        for name, found in scan["scan_result"].items()
        if found["status"] != "NOT_SCHEDULED"
    }
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert results[f"{old}_cipher_suites"]["accepted_cipher_suites"] == []
    for current, listed in (("tls_1_2", TLS12_SUITES), ("tls_1_3", TLS13_SUITES)):
        accepted = {
            each["cipher_suite"]["openssl_name"]
            for each in results[f"{current}_cipher_suites"]["accepted_cipher_suites"]
        }
        assert accepted == {suite for suite in listed if "-RSA-" not in suite}
    assert results["tls_compression"]["supports_compression"] is False
    assert results["tls_1_3_early_data"]["supports_early_data"] is False
    assert results["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"] is False
    assert results["tls_fallback_scsv"]["supports_fallback_scsv"] is True
    assert results["heartbleed"]["is_vulnerable_to_heartbleed"] is False
    assert results["robot"]["robot_result"] == "NOT_VULNERABLE_RSA_NOT_SUPPORTED"
    renegotiation = results["session_renegotiation"]
    assert renegotiation["supports_secure_renegotiation"] is True
    assert renegotiation["is_vulnerable_to_client_renegotiation_dos"] is False
    resumption = results["session_resumption"]
    assert resumption["session_id_resumption_result"] == "NOT_SUPPORTED"
    assert resumption["tls_ticket_resumption_result"] == "NOT_SUPPORTED"
    assert results["tls_extended_master_secret"]["supports_ems_extension"] is True
    curves = {each["name"] for each in results["elliptic_curves"]["supported_curves"]}
    assert curves == {"X25519", "secp256r1", "secp384r1", "secp521r1"}
