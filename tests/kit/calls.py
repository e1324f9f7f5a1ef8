"""What a token costs, in calls of functions: a figure that is the same on every machine.

``python -m tests.kit.calls`` prints calls per token, by kind of work, as JSON: of functions in
Python, and of built-in ones. The same interpreter and the same locked packages give the same
figures, whatever else the machine does; seconds would not. Calls are no time: `scripts/bench`
measures that. Garbage collection is off, so that nothing is called out of turn.
"""

import asyncio
import gc
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from OpenSSL import SSL
from uvicorn.server import ServerState

from app.tls import context, listener
from app.tls.admission import Admission
from app.tls.connection import TlsConnection
from app.tls.deadlines import Sweeper
from app.tls.http import HttpProtocol
from app.tls.limits import Limits
from app.tls.peer import PeerCertificate
from app.tls.sending import Service
from bench.empty import nothing
from tests.kit.asgi import TOKEN_PATH, Stage, staged
from tests.kit.stages import template

TOKENS = 200
WARM = 20
"""Tokens before the first that counts: what is made once has been made."""
FIELDS = {"grant_type": "client_credentials", "client_id": "bot", "scope": "api:read"}
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_PIECE = 65536

Kind = str
_KINDS = {"call": "python", "c_call": "builtin"}


class Calls:
    """Counts, per thread: nothing is lost when two of them are in here at once."""

    def __init__(self) -> None:
        self._seen: dict[int, Counter[str]] = {}

    def note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        """A profiler, as `sys.setprofile` wants one."""
        if event in _KINDS:
            self._seen.setdefault(threading.get_ident(), Counter())[event] += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts in this thread. Other threads count from their start, if they were told to."""
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def so_far(self, *, here: bool) -> Counter[str]:
        """Of this thread, or of all others."""
        me = threading.get_ident()
        threads = [calls for thread, calls in self._seen.items() if (thread == me) is here]
        return sum(threads, Counter())


def _per_token(calls: Calls, act: Callable[[], None], *, here: bool = True) -> dict[Kind, float]:
    for _ in range(WARM):
        act()
    before = calls.so_far(here=here)
    for _ in range(TOKENS):
        act()
    after = calls.so_far(here=here)
    return {name: (after[event] - before[event]) / TOKENS for event, name in _KINDS.items()}


def requests(folder: Path) -> dict[str, dict[Kind, float]]:
    """Tokens by the whole application, one after the other: in its thread, and in the journal's."""
    calls = Calls()
    threading.setprofile(calls.note)  # for the journal, which starts with the stage
    try:
        with staged(template(), folder / "home") as stage:
            act = partial(_token, calls, stage, stage.bot)
            return {
                "request": _per_token(calls, act),
                "journal": _per_token(calls, act, here=False),
            }
    finally:
        threading.setprofile(None)


def _token(calls: Calls, stage: Stage, bot: PeerCertificate) -> None:
    with calls.counting():
        answer = stage.post(TOKEN_PATH, FIELDS, peer=bot)
    assert answer.status == 200, answer.body


def connections(certs: Path) -> dict[str, dict[Kind, float]]:
    """Connections of one request each, from accept to close, on a handler that does nothing."""
    calls, limits, state = Calls(), Limits(), ServerState()
    tls = context.build(certs / "server.crt", certs / "server.key")
    service = Service(limits, tls, Admission(limits), _Dormant(limits))
    configuration = listener._configuration(nothing, service)
    configuration.load()
    asking = SSL.Context(SSL.TLS_METHOD)
    asking.use_certificate_file(str(certs / "bot.crt"))
    asking.use_privatekey_file(str(certs / "bot.key"))

    async def connect() -> None:
        client, wire = SSL.Connection(asking), _Wire()
        client.set_connect_state()
        with calls.counting():
            connection = TlsConnection(
                service, lambda: HttpProtocol(configuration, state, {}, limits)
            )
            connection.connection_made(wire)
        while not wire.closed:
            said = _said(client, wire)
            with calls.counting():
                if said:
                    connection.data_received(said)
                await asyncio.sleep(0)
        with calls.counting():
            connection.connection_lost(None)
        _said(client, wire)
        assert client.recv(_PIECE).startswith(b"HTTP/1.1 200")

    with asyncio.Runner() as runner:
        return {"connection": _per_token(calls, lambda: runner.run(connect()))}


class _Dormant(Sweeper):
    """Sweeps nothing: a timer would go off now and then, and be counted."""

    def _sweep(self) -> None:
        """The timer that was set goes off, and is not set again."""


class _Wire(asyncio.Transport):
    """A socket's end that keeps what was written to it until the client takes it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8443)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def _said(client: SSL.Connection, wire: _Wire) -> bytes:
    """What the client has to say to what was written; with the end of its handshake, the request."""
    if wire.written:
        client.bio_write(wire.written)
        wire.written = b""
    with suppress(SSL.WantReadError):
        if client.get_finished() is None or not client.get_peer_finished():
            client.do_handshake()
            client.sendall(_REQUEST)
    with suppress(SSL.WantReadError):
        return client.bio_read(_PIECE)
    return b""


def main() -> None:
    """Count, and print."""
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        counted = requests(Path(folder)) | connections(template() / "certs")
    print(json.dumps(counted))  # noqa: T201  # what it is for


if __name__ == "__main__":
    main()
