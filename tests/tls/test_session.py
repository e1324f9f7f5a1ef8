"""A TLS session in memory: plaintext comes out as it went in, whatever its size."""

import contextlib

import pytest
from OpenSSL import SSL

from app.tls import context
from app.tls.session import TlsSession
from tests.kit.certs import pki


@pytest.fixture
def ends() -> tuple[SSL.Connection, TlsSession]:
    """A client and a server whose handshake is complete."""
    pair = pki().server
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    server = TlsSession(context.build(pair.certificate_file, pair.key_file))
    done = False
    while not done:
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        server.feed(client.bio_read(65536))
        done = server.handshake()
        client.bio_write(server.take())
    return client, server


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 65_536, 65_537, 1_000_000])
def test_every_size_survives(ends: tuple[SSL.Connection, TlsSession], size: int) -> None:
    """Records and slices leave no seam, in either direction."""
    client, server = ends
    data = bytes(range(256)) * (size // 256 + 1)
    client.bio_write(server.encrypt(data[:size]))
    received = b""
    while len(received) < size:
        received += client.recv(65536)
    assert received == data[:size]
    client.sendall(data[:size])
    received = b""
    while len(received) < size:
        with contextlib.suppress(SSL.WantReadError):
            server.feed(client.bio_read(5000))
        while piece := server.plaintext():
            received += piece
    assert received == data[:size]
    assert server.plaintext() is None


def test_goodbye_is_told_from_silence(ends: tuple[SSL.Connection, TlsSession]) -> None:
    """None means "not yet", empty means close_notify; ours reaches the client."""
    client, server = ends
    assert server.plaintext() is None
    client.shutdown()
    server.feed(client.bio_read(65536))
    assert server.plaintext() == b""
    client.bio_write(server.say_goodbye())
    with pytest.raises(SSL.ZeroReturnError):
        client.recv(1)


def test_tampering_ends_the_session(ends: tuple[SSL.Connection, TlsSession]) -> None:
    """One flipped bit is an error with a reason and an alert, and nothing is handed out."""
    client, server = ends
    client.sendall(b"grant_type=client_credentials")
    record = bytearray(client.bio_read(65536))
    record[-1] ^= 1
    server.feed(bytes(record))
    with pytest.raises(SSL.Error, match="bad record mac"):
        server.plaintext()
    client.bio_write(server.take())
    with pytest.raises(SSL.Error, match="alert bad record mac"):
        client.recv(1)


def test_errors_of_others_do_not_end_a_session(ends: tuple[SSL.Connection, TlsSession]) -> None:
    """OpenSSL's error queue belongs to the thread: what somebody else left in it does not count."""
    client, server = ends
    from OpenSSL._util import lib  # noqa: PLC0415 - only to leave an error behind

    lib.ERR_put_error(20, 0, 100, b"elsewhere.c", 1)
    assert server.plaintext() is None
    lib.ERR_put_error(20, 0, 100, b"elsewhere.c", 1)
    client.bio_write(server.encrypt(b"x"))
    assert client.recv(1) == b"x"
