"""The TLS context: bad files are named, callbacks fail closed."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from OpenSSL import SSL, crypto

from app.tls import context
from app.tls.context import CertificateFileError
from app.tls.session import TlsSession
from tests.kit.certs import issue, pki


def _encrypted(file: Path) -> None:
    key = pki().server.key
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )


def _foreign(file: Path) -> None:
    file.write_bytes(pki().clients["pki"].key_file.read_bytes())


def _foreign_kind(file: Path) -> None:
    file.write_bytes(pki().clients["rsa_1024"].key_file.read_bytes())


@pytest.mark.parametrize(
    ("damage", "saying"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_bytes(b""), "no usable PEM"),
        (lambda file: file.write_bytes(os.urandom(200)), "no usable PEM"),
        (lambda file: file.write_bytes(b"x" * 300_000), "larger than"),
        (lambda file: (file.unlink(), file.mkdir()), "Is a directory"),
    ],
)
@pytest.mark.parametrize("which", ["certificate", "key"])
def test_bad_files_are_named(
    tmp_path: Path, which: str, damage: Callable[[Path], None], saying: str
) -> None:
    """Absent, empty, garbage, huge or a directory: the error says which file and why."""
    pair = issue(tmp_path, "server", None, server=True)
    file = pair.certificate_file if which == "certificate" else pair.key_file
    damage(file)
    with pytest.raises(CertificateFileError, match=saying) as caught:
        context.build(pair.certificate_file, pair.key_file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "saying"),
    [(_encrypted, "encrypted"), (_foreign, "not the key of"), (_foreign_kind, "not the key of")],
)
def test_keys_that_do_not_fit(tmp_path: Path, damage: Callable[[Path], None], saying: str) -> None:
    """An encrypted key never asks for a passphrase; a key of another certificate is refused."""
    pair = issue(tmp_path, "server", None, server=True)
    damage(pair.key_file)
    with pytest.raises(CertificateFileError, match=saying):
        context.build(pair.certificate_file, pair.key_file)


def _client(name: str | None) -> SSL.Connection:
    tls = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if name is not None:
        pair = pki().clients[name]
        tls.use_certificate_file(str(pair.certificate_file))
        tls.use_privatekey_file(str(pair.key_file))
    client = SSL.Connection(tls, None)
    client.set_connect_state()
    return client


def _exchange(client: SSL.Connection, server: TlsSession) -> None:
    """Until the server's handshake is complete; raises what either side raises."""
    for _ in range(5):
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            server.feed(client.bio_read(65536))
        try:
            if server.handshake():
                return
        finally:
            output = server.take()
            if output:
                client.bio_write(output)
    raise AssertionError("no end of the handshake")


def test_an_exception_in_the_callback_ends_the_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A verify callback that raises lets nobody in, and the client is told (CVE-2026-27448)."""

    def raising(
        _connection: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, _ok: int
    ) -> bool:
        raise RuntimeError("a bug")

    pair = pki().server
    built = context.build(pair.certificate_file, pair.key_file, verify=raising)
    client, server = _client("self_signed"), TlsSession(built)
    with pytest.raises(SSL.Error):
        _exchange(client, server)
    with pytest.raises(SSL.Error, match="alert"):
        client.recv(1)
    assert "a bug" in caplog.text
    # One failed handshake leaves nothing behind: without a certificate the callback is not asked.
    _exchange(_client(None), TlsSession(built))


def test_a_refusing_callback_ends_the_handshake() -> None:
    """The callback is really asked."""
    pair = pki().server
    built = context.build(pair.certificate_file, pair.key_file, verify=lambda *_: False)
    with pytest.raises(SSL.Error):
        _exchange(_client("pki"), TlsSession(built))
