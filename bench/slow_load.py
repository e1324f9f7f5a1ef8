"""What `load.c` does, in Python: a program of its own with the same options and the same output.

One thread per connection, sockets that block. It costs more than the server it asks.
"""

import argparse
import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field

TIMEOUT = 10
"""Seconds without an answer, after which a connection has failed."""


@dataclass
class Tally:
    """What the threads have seen; each adds under the interpreter's lock."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    full: int = 0
    resumed: int = 0
    names: tuple[str, str] = ("", "")
    measuring: bool = False
    stopping: bool = False


class Client:
    """One connection's worth of load."""

    def __init__(self, options: argparse.Namespace, tls: ssl.SSLContext, tally: Tally) -> None:
        self._options, self._tls, self._tally = options, tls, tally
        self._session: ssl.SSLSession | None = None
        connection = "keep-alive" if options.mode == "keep" else "close"
        head = f"{'GET' if options.body is None else 'POST'} {options.path} HTTP/1.1\r\n"
        head += f"Host: localhost:{options.port}\r\nConnection: {connection}\r\n"
        if options.body is not None:
            head += "Content-Type: application/x-www-form-urlencoded\r\n"
            head += f"Content-Length: {len(options.body)}\r\n"
        self._request = f"{head}\r\n{options.body or ''}".encode()

    def run(self) -> None:
        """Ask until told to stop."""
        try:
            while not self._tally.stopping:
                begun = time.monotonic()
                with self._connected() as wire:
                    if self._options.mode == "keep":
                        while not self._tally.stopping:
                            self._ask(wire, time.monotonic())
                    else:
                        self._ask(wire, begun)
                        self._session = wire.session
        except (OSError, ValueError) as error:
            self._tally.failures.append(repr(error)[:400])

    def _connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._options.port), TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = self._session if self._options.mode == "resume" else None
        wire = self._tls.wrap_socket(plain, server_hostname="localhost", session=session)
        if self._tally.measuring:
            resumed = bool(wire.session_reused)
            self._tally.resumed += resumed
            self._tally.full += not resumed
        self._tally.names = (wire.version() or "", (wire.cipher() or ("",))[0])
        return wire

    def _ask(self, wire: ssl.SSLSocket, begun: float) -> None:
        wire.sendall(self._request)
        answer = b""
        while not _is_whole(answer):
            piece = wire.recv(65536)
            if not piece:
                raise ValueError(f"the answer ends early: {answer!r}")
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200") or self._options.expect.encode() not in answer:
            raise ValueError(f"unexpected answer: {answer!r}")
        if self._tally.measuring:
            self._tally.latencies.append((time.monotonic() - begun) * 1000)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0]
    return bool(end) and (len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n"))


def _cpu(pids: str) -> float:
    return sum(time.clock_gettime((~int(pid) << 3) | 2) for pid in pids.split(",") if pid)


def _percentile(latencies: list[float], part: float) -> float:
    return latencies[int((len(latencies) - 1) * part)] if latencies else 0.0


def main() -> int:
    """Ask, and print what was seen."""
    parser = argparse.ArgumentParser()
    for name, kind in (("port", int), ("connections", int), ("answers", int)):
        parser.add_argument(f"--{name}", type=kind, default=0)
    for name in ("seconds", "warmup"):
        parser.add_argument(f"--{name}", type=float, default=1)
    for name in ("mode", "cert", "key", "path", "expect", "pids", "body"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE  # checking the server would be the client's cost
    tls.load_cert_chain(options.cert, options.key)
    tally = Tally()
    threads = [
        threading.Thread(target=Client(options, tls, tally).run, daemon=True)
        for _ in range(options.connections)
    ]
    for thread in threads:
        thread.start()
    time.sleep(options.warmup)
    tally.measuring, begun = True, time.monotonic()
    served, spent = _cpu(options.pids or ""), time.process_time()
    while time.monotonic() - begun < options.seconds and not tally.failures:
        time.sleep(0.02)
        if options.answers and len(tally.latencies) >= options.answers:
            break
    seconds = time.monotonic() - begun
    served, spent = _cpu(options.pids or "") - served, time.process_time() - spent
    tally.measuring, tally.stopping = False, True
    for thread in threads:  # one that still runs in OpenSSL as the interpreter ends brings it down
        thread.join(TIMEOUT)
    print(json.dumps(_told(tally, seconds, served, spent)))
    print(*tally.failures, sep="\n", file=sys.stderr)
    return 1 if tally.failures else 0


def _told(tally: Tally, seconds: float, served: float, spent: float) -> dict[str, object]:
    latencies = sorted(tally.latencies)
    count = len(latencies)
    return {
        "answers": count,
        "seconds": seconds,
        "rate": count / seconds,
        **{f"p{part}": _percentile(latencies, part / 100) for part in (50, 95, 99)},
        "cpu": 1000 * served / max(count, 1),
        "load_cpu": 1000 * spent / max(count, 1),
        "busy": served / seconds,
        "load_busy": spent / seconds,
        "failures": len(tally.failures),
        "full": tally.full,
        "resumed": tally.resumed,
        "protocol": tally.names[0],
        "cipher": tally.names[1],
        "group": "",
    }


if __name__ == "__main__":
    sys.exit(main())
