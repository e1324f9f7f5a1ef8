"""The log as programs read it: with ``log_format = "json"`` each line is one object."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.crew import eventually
from tests.kit.running import running


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
