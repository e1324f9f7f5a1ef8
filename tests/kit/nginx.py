"""A real nginx in front of an API, with the very configuration that docs/proxies.md shows."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.kit.running import START_LIMIT, STOP_LIMIT, Running, free_ports

CONFIGURATION = Path(__file__).parents[1] / "clients" / "nginx" / "forward-auth.conf"
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
WANTING = "needs nginx (apt-get install nginx)"
_AROUND = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@dataclass
class Backend:
    """An API that trusts its proxy: it answers 200 and keeps the headers of each request."""

    seen: list[Mapping[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Nginx:
    """Up, and in front of `backend`."""

    port: int
    backend: Backend
    folder: Path

    @property
    def log(self) -> str:
        """What it complained about."""
        return (self.folder / "error.log").read_text(errors="replace")


Change = Callable[[str], str]


@contextmanager
def nginx(
    server: Running, folder: Path, proxy: str, change: Change = lambda text: text
) -> Iterator[Nginx]:
    """Start nginx with ``certs/<proxy>.crt`` as its own certificate towards `server`.

    `change` makes another configuration of the documented one.
    """
    assert PROGRAM is not None
    (port,) = free_ports(1)
    with _backend() as (backend, api):
        text = CONFIGURATION.read_text()
        for shown, real in (
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("localhost:9443", f"127.0.0.1:{server.mtls_port}"),
            ("127.0.0.1:8000", f"127.0.0.1:{api}"),
            ("certs/edge", f"certs/{proxy}"),
            ("certs/", f"{server.home}/certs/"),
        ):
            assert shown in text
            text = text.replace(shown, real)
        configuration = folder / "nginx.conf"
        configuration.write_text(_AROUND.format(folder=folder, server=change(text)))
        process = subprocess.Popen(
            [PROGRAM, "-c", configuration, "-p", folder], stderr=subprocess.DEVNULL
        )
        started = Nginx(port, backend, folder)
        try:
            deadline = time.monotonic() + START_LIMIT
            while not (folder / "nginx.pid").exists():
                assert process.poll() is None, started.log
                assert time.monotonic() < deadline, started.log
                time.sleep(0.02)
            yield started
        finally:
            process.terminate()
            process.wait(STOP_LIMIT)


@contextmanager
def _backend() -> Iterator[tuple[Backend, int]]:
    backend = Backend()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            backend.seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=listening.serve_forever, name="backend")
    thread.start()
    try:
        yield backend, listening.server_address[1]
    finally:
        listening.shutdown()
        thread.join(STOP_LIMIT)
        listening.server_close()
