"""Log lines, structured, to standard output. No token, code, key or certificate ever enters one."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TextIO, cast

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
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Heedless(sys.stdout))),
        cache_logger_on_first_use=True,
    )
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers = [_Same()]
        logger.propagate = False
        logger.setLevel(log_level.upper())


OTHERS = ("certbound", "asyncio")
"""Who logs by the standard library: TLS, which knows nothing of this module, and the event loop."""


class _Same(logging.Handler):
    """Hands what the standard library's loggers are told to the one log, as ``tls.said``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as a line like all others, its words as one value."""
        name = record.name.rpartition(".")[2]
        error = record.exc_info[1] if record.exc_info else None
        more = {} if error is None else {"exc_info": error}
        log().log(record.levelno, f"{name}.said", message=record.getMessage(), **more)


class _Heedless:
    """A stream whose loss is no reason to stop: the reader of a pipe may go, or its disk be full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        with self._losing():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand it on, or lose it."""
        with self._losing():
            self._stream.flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # What is buffered would fail again at the end of the process, and be its exit code.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):  # ValueError: the stream was closed
            return


def error_line(event: str, members: Mapping[str, Any]) -> str:
    """One line as the JSON log has them, for an error that is told elsewhere; `configure` or not.

    An exception in `members` under ``exc_info`` becomes the text of its stack.
    """
    entry: EventDict = {**members, "event": event}
    name, nobody = "error", structlog.get_logger()
    for each in (
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ):
        entry = each(nobody, name, entry)
    return str(structlog.processors.JSONRenderer()(nobody, name, entry))


def log() -> FilteringBoundLogger:
    """The logger. Event names are noun.verb, like audit events."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def _numbered(worker: int, _logger: object, _name: str, entry: EventDict) -> EventDict:
    entry["worker"] = worker
    return entry
