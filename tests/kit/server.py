"""A real TLS listener in a thread, on asyncio or uvloop, with a small application behind it."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from app.tls.limits import Limits
from app.tls.listener import Application, LoopName, loop_factory, serve
from tests.kit.certs import Pair, pki

LOOPS: tuple[LoopName, ...] = ("asyncio", "uvloop")


@dataclass
class Echo:
    """Answers with what it saw; `seen` holds the scope of every request that reached it.

    ``/wait?s=1`` answers after a second, ``/big?n=1000`` with so many bytes.
    """

    seen: list[dict[str, Any]] = field(default_factory=list)
    disconnects: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        self.seen.append(dict(scope))
        message = await receive()
        query = parse_qs(scope["query_string"].decode())
        if scope["path"] == "/wait":
            await self._wait(float(query["s"][0]), receive)
        if scope["path"] == "/big":
            body = b"x" * int(query["n"][0])
        else:
            body = json.dumps(_view(scope, message)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait(self, seconds: float, receive: Any) -> None:
        leaving = asyncio.create_task(receive())
        done, _ = await asyncio.wait({leaving}, timeout=seconds)
        if done:
            self.disconnects += 1
        leaving.cancel()


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _view(scope: Any, message: Any) -> dict[str, Any]:
    peer = scope["state"]["certbound.peer"]
    extension = scope["extensions"]["tls"]
    return {
        "method": scope["method"],
        "path": scope["path"],
        "scheme": scope["scheme"],
        "headers": [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
        ],
        "body": message["body"].decode("latin-1"),
        "more_body": message["more_body"],
        "thumbprint": peer.thumbprint if peer else None,
        "others": len(peer.presented) if peer else 0,
        "cipher": peer.cipher if peer else None,
        "tls": peer.tls_version if peer else None,
        "error": scope["state"]["certbound.peer_error"],
        "extension": extension,
    }


@dataclass
class Running:
    """A listener that is up. Both ports are served by one process, as main and mTLS port are."""

    port: int
    mtls_port: int
    stopping: list[float]
    """When `on_stopping` was called, in the loop's time."""
    _loop: asyncio.AbstractEventLoop
    _stop: asyncio.Event
    _thread: threading.Thread

    def stop(self, timeout: float = 60) -> None:
        """What SIGTERM does; returns when the server has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError("the server does not stop")


@contextlib.contextmanager
def serving(
    app: Application,
    *,
    loop: LoopName = "asyncio",
    limits: Limits | None = None,
    server: Pair | None = None,
) -> Iterator[Running]:
    """A listener on two free ports of 127.0.0.1 until the block ends."""
    started = threading.Event()
    state: list[Running] = []
    failures: list[BaseException] = []
    pair = server or pki().server

    async def main() -> None:
        running_loop, stop = asyncio.get_running_loop(), asyncio.Event()
        stopping: list[float] = []

        def on_started(addresses: list[tuple[str, int]]) -> None:
            (_, port), (_, mtls_port) = addresses
            state.append(Running(port, mtls_port, stopping, running_loop, stop, thread))
            started.set()

        await serve(
            app,
            host="127.0.0.1",
            ports=(0, 0),
            certificate_file=pair.certificate_file,
            key_file=pair.key_file,
            limits=limits or Limits(),
            on_started=on_started,
            on_stopping=lambda: stopping.append(running_loop.time()),
            stop=stop,
        )

    def body() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)
            started.set()

    thread = threading.Thread(target=body, name="tls-server")
    thread.start()
    if not started.wait(15) or failures:
        raise RuntimeError("the server did not start") from (failures[0] if failures else None)
    try:
        yield state[0]
    finally:
        state[0].stop()
    if failures:
        raise failures[0]
