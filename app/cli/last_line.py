"""Why a server could not start, or ended, as a line of its log where that is for programs.

Guarantees one line of JSON on standard error, in the words that people get, where ``log_format`` is
``json``: also where the other settings cannot be used. Not where ``--json`` is given: that has an
error shape of its own.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.config import ENVIRONMENT_PREFIX, FILE_NAME, find_home
from app.telemetry import error_line

EVENT = "server.failed"
COMMAND = "serve"
_FLAG, _VARIABLE = "--log-format", f"{ENVIRONMENT_PREFIX}LOG_FORMAT"
_IN_FILE = re.compile(rb"""^\s*log_format\s*=\s*["']json["']""", re.MULTILINE)
"""Of TOML, which may be what cannot be read."""


def is_wanted(words: Sequence[str], home: Path | None) -> bool:
    """Whether this command is a server whose log is JSON, as far as its settings can be read."""
    if words[:1] != [COMMAND] or "--json" in words:
        return False
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == _FLAG:
            return following == "json"
        if word.startswith(f"{_FLAG}="):
            return word == f"{_FLAG}=json"
    if _VARIABLE in os.environ:
        return os.environ[_VARIABLE] == "json"
    try:
        return _IN_FILE.search((find_home(home) / FILE_NAME).read_bytes()) is not None
    except OSError:
        return False


def write(told: Mapping[str, Any] | Exception) -> None:
    """Write the members of the error shape, or what only a programmer can judge, with its stack."""
    if isinstance(told, Exception):
        told = {"message": "an error in the program", "exc_info": told}
    sys.stderr.write(error_line(EVENT, told) + "\n")
    sys.stderr.flush()
