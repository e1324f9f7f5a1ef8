"""Damaged handshakes: the server answers or closes, and never stumbles."""

import contextlib
import logging
import random
import socket
import ssl

import pytest

from app.tls.listener import LoopName
from tests.kit import hostile
from tests.kit.certs import pki
from tests.kit.hostile import TLSRemoteAlert
from tests.kit.server import LOOPS, Echo, serving
from tests.kit.wire import ask_once, client_context, get


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_damaged_flights_do_no_harm(
    loop: LoopName, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    """One byte changed anywhere in what the client sends: no request runs, nothing is logged as a bug."""
    chance = random.Random(20261122)  # noqa: S311 - a fixed seed is the point
    echo = Echo()
    with serving(echo, loop=loop) as server, caplog.at_level(logging.WARNING):
        for turn in range(120):
            _damaged_handshake(server.port, version, chance, flight=turn % 2)
        assert ask_once(server.port, client=pki().clients["pki"]).status == 200
    assert len(echo.seen) == 1
    assert caplog.records == []


def _damaged_handshake(
    port: int, version: ssl.TLSVersion, chance: random.Random, flight: int
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(pki().clients["pki"], version).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with (
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        contextlib.suppress(ssl.SSLError, ConnectionResetError, BrokenPipeError),
    ):
        for number in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                tls.write(get())
            data = bytearray(outgoing.read())
            if number == flight:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
                return
            raw.sendall(data)
            incoming.write(raw.recv(65536))


def test_a_chain_beyond_openssls_own_limit_gets_an_alert() -> None:
    """Above 100 KiB the handshake ends; the client is told."""
    client = pki().clients["pki"]
    with serving(Echo()) as server:
        for version in (hostile.TLS12, hostile.TLS13):
            with (
                pytest.raises(TLSRemoteAlert),
                hostile.handshake(
                    server.port, (client.der,) * 400, client.key_file, version
                ) as connection,
            ):
                hostile.ask(connection, get())
