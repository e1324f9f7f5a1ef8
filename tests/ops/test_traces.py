"""Traces: what of a caller's own trace counts, and that without them nothing is loaded."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.traces import Callers, Traces
from tests.kit.running import clean_environment

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
GOOD = f"00-{TRACE:032x}-{SPAN:016x}-01"


def one_span(callers: Callers, *sent: str) -> ReadableSpan:
    """The span of a request with these ``traceparent`` headers."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider, callers)
    with traces.request("GET /", sent, {"http.route": "/"}) as span:
        traces.answered(span, 200)
    [found] = exporter.get_finished_spans()
    return found


def test_a_caller_is_ignored() -> None:
    """Unless a setting says otherwise, whatever a stranger sends is nothing to our trace."""
    span = one_span("ignore", GOOD)
    assert span.context.trace_id != TRACE
    assert (span.parent, list(span.links)) == (None, [])


def test_a_caller_is_linked() -> None:
    """The trace is ours, and says which of theirs it belongs to."""
    span = one_span("link", GOOD)
    assert span.context.trace_id != TRACE
    [link] = span.links
    assert (link.context.trace_id, link.context.span_id) == (TRACE, SPAN)
    assert span.parent is None


def test_a_caller_is_the_parent() -> None:
    """The trace is theirs."""
    span = one_span("parent", GOOD)
    assert span.context.trace_id == TRACE
    assert span.parent is not None
    assert span.parent.span_id == SPAN
    assert list(span.links) == []


@pytest.mark.parametrize(
    "sent",
    [
        (),
        (GOOD, GOOD),
        (GOOD.upper(),),
        (GOOD + "-more",),
        (GOOD + "\n",),
        (GOOD.replace("00-", "01-", 1),),
        (GOOD.replace("00-", "ff-", 1),),
        (f"00-{0:032x}-{SPAN:016x}-01",),
        (f"00-{TRACE:032x}-{0:016x}-01",),
        ("x" * 100_000,),
        ("00-" + "0" * 100_000 + "-1-01",),
    ],
)
@pytest.mark.parametrize("callers", ["link", "parent"])
def test_what_is_no_traceparent_counts_for_nothing(callers: Callers, sent: tuple[str, ...]) -> None:
    """Malformed, repeated, too long, of another version: a trace of our own, without a link."""
    span = one_span(callers, *sent)
    assert span.context.trace_id != TRACE
    assert (span.parent, list(span.links)) == (None, [])


def test_a_part_without_a_request_is_nothing() -> None:
    """What the journal's thread does for many at once makes no trace of its own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Traces(provider).part("commit") as span:
        span.set_attribute("a", "b")
    assert exporter.get_finished_spans() == ()


def python(code: str) -> "subprocess.CompletedProcess[str]":
    """Run it in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_off_nothing_is_loaded() -> None:
    """The server's whole code is there, and nothing of OpenTelemetry."""
    done = python(
        "import sys, app.cli.serve, app.serving\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_on_without_the_extra() -> None:
    """The setting is named, and what to install."""
    done = python(
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from app.config import ConfigError; from app.traces import begin\n"
        "try: begin('ignore')\n"
        "except ConfigError as error: print(error)"
    )
    assert "traces = true" in done.stdout
    assert "certbound[otel]" in done.stdout
