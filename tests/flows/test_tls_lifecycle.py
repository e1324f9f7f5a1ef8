"""From start to end of a process: signals, exchanged certificates, connection caps."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.tls.limits import Limits
from app.tls.listener import LoopName
from tests.kit.certs import Pair, issue, pki
from tests.kit.server import LOOPS, Echo, Running, serving
from tests.kit.wire import ask, ask_once, connected, get

ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0

_PROGRAM = """
import sys
from pathlib import Path
from app.tls.limits import Limits
from app.tls.listener import run
from tests.kit.server import Echo

certificate, key, loop = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
echo = Echo()

async def telling(scope, receive, send):
    if scope.get("path") == "/wait":
        print("asked", flush=True)
    await echo(scope, receive, send)

sys.exit(run(
    telling,
    loop=loop,
    host="127.0.0.1",
    ports=(0, 0),
    certificate_file=certificate,
    key_file=key,
    limits=Limits(shutdown=float(sys.argv[4])),
    on_started=lambda addresses: print(*(port for _, port in addresses), flush=True),
    on_stopping=lambda: print("stopping", flush=True),
    on_reload=lambda: print("reloaded", flush=True),
))
"""


@contextlib.contextmanager
def process(
    pair: Pair, loop: LoopName, shutdown: float = _PATIENCE
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server as a process of its own, and its first port; requests have `shutdown` at the end."""
    files = (pair.certificate_file, pair.key_file)
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *files, loop, str(shutdown)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            yield child, int(child.stdout.readline().split()[0])
        finally:
            if child.poll() is None:
                child.kill()


def hears(child: "subprocess.Popen[str]") -> str:
    """The next line that it says: ``asked`` where a request for ``/wait`` has arrived."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_finishes(loop: LoopName, number: signal.Signals) -> None:
    """A signal stops the listeners, lets the running request answer, and ends with exit code 0."""
    with process(pki().server, loop) as (child, port), connected(port) as connection:
        with connected(port) as idle:
            assert ask(idle, get()).status == 200
            connection.sendall(get("/wait?s=2"))
            assert hears(child) == "asked"
            child.send_signal(number)
            response = ask(connection, b"")
            assert response.status == 200
            assert response.headers["connection"] == "close"
            assert idle.recv(100) == b""
        assert child.wait(_PATIENCE) == 0
        out, err = child.communicate()
        assert out == "stopping\n"
        assert "Traceback" not in err
        with pytest.raises(OSError):  # noqa: PT011 - refused, in every spelling
            socket.create_connection(("127.0.0.1", port), 1)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_does_not_wait_for_ever(loop: LoopName) -> None:
    """After `Limits.shutdown` a request still running is cut off; the exit code is still 0."""
    with process(pki().server, loop, 2.0) as (child, port), connected(port) as connection:
        connection.sendall(get("/wait?s=600"))
        assert hears(child) == "asked"
        started = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(_PATIENCE) == 0
        assert time.monotonic() - started > 1.5


def test_a_second_signal_ends_at_once() -> None:
    """Who asks twice does not want to wait."""
    with (
        process(pki().server, "auto", 10 * _PATIENCE) as (child, port),
        connected(port) as connection,
    ):
        connection.sendall(get("/wait?s=600"))
        assert hears(child) == "asked"
        child.send_signal(signal.SIGINT)
        assert hears(child) == "stopping"
        child.send_signal(signal.SIGINT)
        assert child.wait(_PATIENCE) == 0


def _served(port: int) -> bytes | None:
    """The server certificate of a new connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), _PATIENCE) as raw,
        context.wrap_socket(raw) as connection,
    ):
        return connection.getpeercert(binary_form=True)


def _pair(directory: Path) -> Pair:
    return issue(directory, "server", None, server=True)


def _until_served(port: int, der: bytes) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _served(port) != der:
        assert time.monotonic() < deadline, "the new certificate is not served"
        time.sleep(0.1)


def test_sighup_exchanges_the_certificate(tmp_path: Path) -> None:
    """New connections get the new certificate, open ones go on, and others are told to reload."""
    old = _pair(tmp_path)
    with process(old, "auto") as (child, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(old.certificate_file)
        with (
            socket.create_connection(("127.0.0.1", port), _PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as kept,
        ):
            assert _served(port) == old.der
            new = _pair(tmp_path)
            child.send_signal(signal.SIGHUP)
            assert child.stdout is not None
            assert child.stdout.readline() == "reloaded\n"
            assert _served(port) == new.der
            assert ask(kept, get()).status == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(_PATIENCE) == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_changed_files_are_noticed(tmp_path: Path, loop: LoopName) -> None:
    """Without any signal the new pair is served soon after it stands on the disk."""
    old = _pair(tmp_path)
    with serving(Echo(), loop=loop, server=old) as server:
        assert _served(server.port) == old.der
        new = _pair(tmp_path)
        _until_served(server.port, new.der)
        assert _served(server.mtls_port) == new.der


@pytest.mark.parametrize("damage", ["empty", "absent", "garbage", "other key", "truncated"])
def test_bad_files_keep_the_old_certificate(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pair that cannot be used is reported once, and replaced as soon as a good one is there."""
    old = _pair(tmp_path)
    with serving(Echo(), server=old) as server, caplog.at_level("ERROR", "certbound.tls"):
        _damage(old, damage)
        deadline = time.monotonic() + _PATIENCE
        while not caplog.records:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert _served(server.port) == old.der
        time.sleep(2.5)
        assert len(caplog.records) == 1
        assert str(tmp_path) in caplog.text
        _until_served(server.port, _pair(tmp_path).der)


def _damage(pair: Pair, how: str) -> None:
    """At one stroke: a file seen half written would be another damage, and told as well."""
    whole = pair.certificate_file.read_bytes()
    other = pki().clients["pki"].key_file.read_bytes()
    if how == "absent":
        pair.certificate_file.unlink()
        return
    file = pair.key_file if how == "other key" else pair.certificate_file
    draft = file.with_suffix(".draft")
    draft.write_bytes(
        {
            "empty": b"",
            "garbage": os.urandom(500),
            "other key": other,
            "truncated": whole[: len(whole) // 2],
        }[how]
    )
    draft.replace(file)


def _fill(server: Running, count: int, stack: contextlib.ExitStack) -> list[ssl.SSLSocket]:
    return [stack.enter_context(connected(server.port)) for _ in range(count)]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "limits", [Limits(max_connections=5), Limits(max_connections_per_address=5)]
)
def test_connections_are_capped(loop: LoopName, limits: Limits) -> None:
    """One too many gets an alert, those within go on, and an ended one makes room."""
    with serving(Echo(), loop=loop, limits=limits) as server, contextlib.ExitStack() as stack:
        within = _fill(server, 5, stack)
        for _ in range(10):
            with (
                pytest.raises((ssl.SSLError, OSError)),
                connected(server.port),
            ):
                pass
        for connection in within:
            assert ask(connection, get()).status == 200
        within[0].close()
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(ssl.SSLError, OSError):
                assert ask_once(server.port).status == 200
                break
            assert time.monotonic() < deadline


def test_refused_connections_are_told_why() -> None:
    """Above the cap the client reads an alert, not just an end."""
    with (
        serving(Echo(), limits=Limits(max_connections=1)) as server,
        connected(server.port),
        socket.create_connection(("127.0.0.1", server.port), 10) as raw,
    ):
        assert raw.recv(100) == b"\x15\x03\x03\x00\x02\x02\x50"


def test_both_ports_are_one_server() -> None:
    """Main and mTLS listener serve the same application under the same policy."""
    echo = Echo()
    client = pki().clients["self_signed"]
    with serving(echo) as server:
        assert server.port != server.mtls_port
        views = [ask_once(port, client=client).json() for port in (server.port, server.mtls_port)]
        assert views[0]["thumbprint"] == views[1]["thumbprint"] is not None
    assert len(echo.seen) == 2


def test_becoming_not_ready_comes_first() -> None:
    """`on_stopping` is called while connections are still served."""
    echo = Echo()
    with serving(echo) as server, connected(server.port) as connection:
        assert server.stopping == []
        connection.sendall(get("/wait?s=0.5"))
        while not echo.seen:
            time.sleep(0.01)
        server.stop()
        assert len(server.stopping) == 1
        assert ask(connection, b"").status == 200


@pytest.mark.parametrize("loop", LOOPS)
def test_memory_of_ended_connections_is_given_back(loop: LoopName) -> None:
    """Nothing of a connection is left behind once it has ended, garbage collection or not."""
    import gc  # noqa: PLC0415 - only here

    from app.tls.session import TlsSession  # noqa: PLC0415 - only here

    client = pki().clients["chain"]
    with serving(Echo(), loop=loop) as server:
        gc.collect()
        gc.disable()
        try:
            for _ in range(30):
                assert ask_once(server.port, client=client).status == 200
            deadline = time.monotonic() + _PATIENCE
            while any(isinstance(each, TlsSession) for each in gc.get_objects()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            gc.enable()
