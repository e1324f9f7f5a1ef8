"""Whoever reads the log may go: the server serves on, and ends as it is told."""

import os
import subprocess
import sys
from pathlib import Path

from tests.kit.running import Running, certbound, clean_environment, free_ports, stop, wait_ready

FORM = {"grant_type": "client_credentials", "client_id": "bot"}


def test_a_reader_that_went_stops_neither_requests_nor_the_end(tmp_path: Path) -> None:
    """With its standard output broken a server refuses, serves, and ends with exit code 0."""
    port, mtls_port = free_ports(2)
    environment = {
        "CERTBOUND_PORT": str(port),
        "CERTBOUND_MTLS_PORT": str(mtls_port),
        "CERTBOUND_OPS_PORT": "0",
    }
    certbound(tmp_path, "quickstart", environment=environment)
    (tmp_path / "server.log").touch()
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--home", str(tmp_path)],
        stdout=writer,
        stderr=writer,
        text=True,
        env={**clean_environment(), **environment},
    ) as process:
        os.close(writer)
        server = Running(tmp_path, port, mtls_port, process, environment)
        try:
            wait_ready(server)
            os.close(reader)
            for name, status in ((None, 401), ("bot", 200), (None, 401)):  # a refusal is logged
                with server.client(name) as client:
                    assert client.post(server.token_url, data=FORM).status_code == status
            assert stop(server) == 0
        finally:
            process.kill()
