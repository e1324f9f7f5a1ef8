"""Traces by OpenTelemetry, where the setting `traces` asks for them: what a request went through.

Guarantees: without the setting nothing of OpenTelemetry is imported, and a request costs a look at
None in each place. With it, no secret, no token, no certificate and no text that a stranger chose
enters a span: attributes are words of ours, facts of the handshake, and what the audit has of a
client that proved itself. No exception is recorded, for its text may quote what was sent. Spans are
handed on by a thread of the SDK; where they cannot be, or come too fast, they are lost and the
server goes on. Where to, and how many, is said by the SDK's own variables (``OTEL_…``).

A caller's ``traceparent`` counts as `Callers` says: not at all, unless a setting says otherwise. Of
it only two numbers and a flag are taken, ``tracestate`` and ``baggage`` are not read.

Not traced: what a decision costs that the journal takes again in its own thread.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from app.config import ConfigError
from app.telemetry import log

if TYPE_CHECKING:  # the libraries are an extra
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext

Callers = Literal["ignore", "link", "parent"]
"""What a caller's trace is to ours: nothing, a link, or the parent. A parent decides by its flag
whether a request is sampled at all."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C Trace Context, version 00, and nothing longer."""
_NAME = "certbound"


class Traces:
    """One per process. All methods may be called from any thread."""

    def __init__(self, provider: "TracerProvider", callers: Callers = "ignore") -> None:
        """`provider` says where spans go."""
        from opentelemetry import context, trace  # noqa: PLC0415 - an extra, see above

        self._context, self._api = context, trace
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME)
        self._callers = callers

    @contextmanager
    def request(
        self, name: str, traceparents: Sequence[str], facts: Mapping[str, str | int | bool]
    ) -> Iterator["Span"]:
        """The span of one request, current in the block; `traceparents` as they were sent."""
        api = self._api
        around, links = self._context.Context(), []
        theirs = self._caller(traceparents)
        if theirs is not None and self._callers == "parent":
            around = api.set_span_in_context(api.NonRecordingSpan(theirs), around)
        elif theirs is not None:
            links = [api.Link(theirs)]
        with self._tracer.start_as_current_span(
            name,
            context=around,
            kind=api.SpanKind.SERVER,
            attributes=facts,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def part(self, name: str) -> Iterator["Span"]:
        """A span within that of the request; one that counts for nothing where there is none."""
        if not self._api.get_current_span().get_span_context().is_valid:
            yield self._api.INVALID_SPAN
            return
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def note(self, facts: Mapping[str, str | None]) -> None:
        """Facts for the span that is current; None is no fact."""
        span = self._api.get_current_span()
        for name, value in facts.items():
            if value is not None:
                span.set_attribute(name, value)

    def answered(self, span: "Span", status: int) -> None:
        """The answer of a request. By convention only our own failures are errors."""
        span.set_attribute("http.response.status_code", status)
        if status >= 500:  # noqa: PLR2004 - its name
            span.set_attribute("error.type", str(status))
            span.set_status(self._api.StatusCode.ERROR)

    def close(self, seconds: float) -> None:
        """Hand on what waits; what takes longer than so many seconds is lost."""
        ending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        ending.start()
        ending.join(seconds)

    def _caller(self, sent: Sequence[str]) -> "SpanContext | None":
        """What a caller says of itself, if we listen and it says it once and well."""
        if self._callers == "ignore" or len(sent) != 1:
            return None
        found = _TRACEPARENT.fullmatch(sent[0])
        if found is None:
            return None
        trace_id, span_id, flags = (int(each, 16) for each in found.groups())
        theirs = self._api.SpanContext(
            trace_id, span_id, is_remote=True, trace_flags=self._api.TraceFlags(flags & 1)
        )
        return theirs if theirs.is_valid else None


def begin(callers: Callers, worker: int | None = None) -> Traces:
    """Traces that go where the SDK's variables say, by OTLP over HTTP.

    Raises:
        ConfigError: the extra is not installed.

    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import (  # noqa: PLC0415 - an extra
            OTELResourceDetector,
            Resource,
        )
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"traces = true: there is no module {error.name}; pip install 'certbound[otel]'"
        ) from error
    ours: dict[str, str | int] = {"service.name": _NAME}
    if worker is not None:
        ours["certbound.worker"] = worker
    # What the operator's variables say of this service wins.
    named = Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
    _tell_the_log()
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider, callers)


class _Teller(logging.Handler):
    """The SDK's complaints as log lines of ours, without their stacks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it once more."""
        log().warning("traces.lost", cause=record.getMessage())


def _tell_the_log() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    theirs.handlers = [_Teller(logging.WARNING)]
