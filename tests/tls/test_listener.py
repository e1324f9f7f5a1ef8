"""Sockets and loops, before anything is served."""

import asyncio
import resource
import socket
from pathlib import Path

import pytest

from app.tls.context import CertificateFileError
from app.tls.limits import Limits
from app.tls.listener import loop_factory, serve
from app.tls.sockets import bind
from tests.kit.certs import pki
from tests.kit.server import Echo, serving


def test_a_taken_port_is_named_and_nothing_stays_bound() -> None:
    """The error says which address; ports bound before it are free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
            bind("127.0.0.1", (0, port))


def test_every_address_of_a_name_gets_the_same_port() -> None:
    """`localhost` may be IPv4 and IPv6; a free port is chosen once for both."""
    sockets = bind("localhost", (0, 0))
    try:
        ports = [each.getsockname()[1] for each in sockets]
        assert len(set(ports)) == 2
        assert len(ports) in (2, 4)
    finally:
        for each in sockets:
            each.close()


def test_loops() -> None:
    """Automatic means uvloop here; asyncio's own can be had."""
    for name, module in (("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")):
        loop = loop_factory(name)()  # type: ignore[arg-type]  # literals, out of a table
        assert type(loop).__module__.partition(".")[0] == module
        loop.close()


def test_a_bad_certificate_stops_the_start(tmp_path: Path) -> None:
    """Nothing is bound and nothing announced with a certificate that cannot be used."""
    announced: list[object] = []
    with pytest.raises(CertificateFileError):
        asyncio.run(
            serve(
                Echo(),
                host="127.0.0.1",
                ports=(0,),
                certificate_file=tmp_path / "absent.crt",
                key_file=pki().server.key_file,
                limits=Limits(),
                on_started=announced.append,
                on_stopping=lambda: announced.append(None),
            )
        )
    assert announced == []


def test_open_files_follow_the_cap() -> None:
    """The process may hold as many connections as the cap says, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        with serving(Echo(), limits=Limits(max_connections=1000)):
            raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised == min(1256, hard if hard != resource.RLIM_INFINITY else 1256)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
