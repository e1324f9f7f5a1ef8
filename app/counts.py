"""What this process counts while it works, for whoever watches it.

Guarantees few series whatever is sent: every value of a label is a word of ours or `OTHER`, and
never a client's text. A request costs some 1 µs here. Counts begin at zero with the process.
Not here: what the database tells (`app.ops.figures`).
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

OTHER = "other"
"""Whatever is none of the known words."""

Handshake = Literal[
    "",
    "budget",
    "connections",
    "stopping",
    "timeout",
    "gone",
    "alert",
    "version",
    "cipher",
    "not_tls",
    "protocol",
]
"""Why a handshake failed; empty: it did not."""
Recorded = Literal["alone", "group", "counted"]

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

# A second series for each, which tells when the process began: `process_start_time_seconds` does.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it


def word(text: str | None, known: Collection[str]) -> str:
    """`text` if it is one of ours; empty for none at all."""
    return "" if not text else text if text in known else OTHER


class _Tally(Collector):
    """A counter with labels; one thread at a time counts.

    A dict, since the library's own takes a lock or two and some 2 µs each time.
    """

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._counts: dict[tuple[str, ...], int] = {}
        registry.register(self)

    def count(self, *values: str) -> None:
        self._counts[values] = self._counts.get(values, 0) + 1

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for values, count in list(self._counts.items()):
            family.add_metric(values, count)
        yield family


class Counts:
    """One per process. The event loop counts, but batches, lists and refusals: see there."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._requests = _Tally(
            "certbound_requests",
            "Requests by endpoint and HTTP status.",
            ["endpoint", "status"],
            own,
        )
        self._decisions = _Tally(
            "certbound_decisions",
            "Decisions that were recorded or counted in the audit.",
            ["endpoint", "method", "grant", "decision", "reason"],
            own,
        )
        self._handshakes = _Tally(
            "certbound_handshakes",
            "TLS handshakes, those turned away before the first octet too.",
            ["result", "reason", "tls_version"],
            own,
        )
        self._refusals = _Tally(
            "certbound_audit_refusals",
            "Refusals by how the audit has them: an entry alone, the first of a group, counted.",
            ["recorded"],
            own,
        )
        self._presentations = _Tally(
            "certbound_audit_presentations",
            "Verdicts on tokens by how the audit has them, as refusals.",
            ["recorded"],
            own,
        )
        self._lists = Counter(
            "certbound_status_lists_signed",
            "Status lists that were built and signed.",
            registry=own,
        )
        self.replaced = _Tally(
            "certbound_workers_replaced",
            "Workers that the supervisor replaced, as they ended unasked or hung.",
            ["how"],
            own,
        )
        """Counted by the supervisor alone, see `app.ops.whole`."""
        self.connections = Gauge("certbound_open_connections", "Open connections.", registry=own)
        """To be read from whoever knows, by `set_function`; so is the next."""
        self.waiting = Gauge(
            "certbound_queue_depth",
            "How many requests wait for the database.",
            ["queue"],
            registry=own,
        )
        self._batch_size = Histogram(
            "certbound_journal_batch_size",
            "Decisions in one transaction.",
            buckets=_SIZES,
            registry=own,
        )
        self._batch_seconds = Histogram(
            "certbound_journal_batch_seconds",
            "Time of one transaction, a failed one too.",
            buckets=_SECONDS,
            registry=own,
        )

    def request(self, endpoint: str, status: int) -> None:
        """One request was answered."""
        self._requests.count(endpoint, str(status))

    def decision(self, endpoint: str, method: str, grant: str, decision: str, reason: str) -> None:
        """One decision was settled."""
        self._decisions.count(endpoint, method, grant, decision, reason)

    def handshake(self, reason: Handshake = "", tls_version: str = "") -> None:
        """One handshake is over."""
        self._handshakes.count("failed" if reason else "ok", reason, tls_version)

    def refusal(self, recorded: Recorded) -> None:
        """One refusal went into the audit. Any thread, one at a time: `Refusals` has a lock."""
        self._refusals.count(recorded)

    def presentation(self, recorded: Recorded) -> None:
        """One verdict on a token went into the audit."""
        self._presentations.count(recorded)

    def batch(self, size: int, seconds: float) -> None:
        """The journal ended one transaction. Any thread."""
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def list_signed(self) -> None:
        """One status list was built and signed. Any thread."""
        self._lists.inc()
