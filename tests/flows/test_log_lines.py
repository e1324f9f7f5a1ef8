"""The log as programs read it: with ``log_format = "json"`` each line is one object."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kit.crew import eventually
from tests.kit.running import running


def test_a_certificate_that_is_exchanged_or_not_is_told(tmp_path: Path) -> None:
    """What TLS has to say is in the same log, in the same form, at its level."""
    with running(tmp_path, log_format="json") as server:
        file = tmp_path / "certs" / "server.crt"
        good = file.read_bytes()
        file.write_bytes(b"none")
        eventually(lambda: "the old one stays" in server.log, lambda: server.log)
        file.write_bytes(good)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "was read anew" in server.log, lambda: server.log)
        told = [json.loads(line) for line in server.log.splitlines() if "tls.said" in line]
    assert [line["level"] for line in told][:1] == ["error"]
    assert told[-1]["level"] == "info"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_line_is_an_object(tmp_path: Path, workers: str) -> None:
    """From the start to the end, which are events too; a page is only for people."""
    with running(tmp_path, log_format="json", workers=workers) as server:
        eventually(lambda: "server.listening" in server.log, lambda: server.log)
        server.process.terminate()
        assert server.process.wait() == 0
        lines: list[dict[str, Any]] = [json.loads(line) for line in server.log.splitlines()]
        (start,) = [line for line in lines if line["event"] == "server.listening"]
        assert start["issuer"] == server.issuer
        assert len(start["listening"]) == 2
        assert lines[-1]["event"] == "server.stopped"
        assert all({"timestamp", "level"} <= line.keys() for line in lines)
