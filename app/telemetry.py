"""Log lines, structured, to standard output. No token, code, key or certificate ever enters one."""

import logging
import sys
from contextlib import suppress
from functools import partial
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor


def configure(
    log_format: Literal["console", "json"], log_level: str, worker: int | None = None
) -> None:
    """Set up logging for a server process. Values are quoted, so control characters stay visible.

    Each line of a worker has its number.
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    )
    structlog.configure(
        processors=[
            *([] if worker is None else [partial(_numbered, worker)]),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Outlet(sys.stdout))),
        cache_logger_on_first_use=True,
    )


class _Outlet:
    """Standard output, as long as it takes something: a full disk under the log fails no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def log() -> FilteringBoundLogger:
    """The logger. Event names are noun.verb, like audit events."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def _numbered(worker: int, _logger: object, _name: str, entry: EventDict) -> EventDict:
    entry["worker"] = worker
    return entry
