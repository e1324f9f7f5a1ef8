"""The metrics, in the text form that Prometheus reads.

Guarantees few series however many clients there are: counts, and by name only what ends within 30
days, `MOST_NAMED` at most, beside what `app.counts` has. Holds no token, no key, and of certificates their thumbprint and end.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.counts import Counts
from app.ops import whole
from app.ops.figures import Figures, Reading
from app.ops.whole import Counted

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
"""What `generate_latest` writes."""


@dataclass(slots=True, eq=False)
class Gauges(Collector):
    """One scrape's figures as metric families. Times are seconds since the epoch."""

    reading: Reading
    ready: bool
    server_certificate_end: int | None

    def collect(self) -> Iterator[Metric]:
        """Every family, those that nothing is known of without samples."""
        yield _gauge("ready", "Whether /readyz says ready.", float(self.ready))
        yield _gauge("database_up", "Whether the database answered.", float(self.reading.up))
        yield _gauge(
            "server_certificate_not_after_seconds",
            "End of the server certificate that new connections get.",
            self.server_certificate_end,
        )
        if self.reading.figures is not None:
            yield from _of(self.reading.figures)


def _of(figures: Figures) -> Iterator[Metric]:
    yield _gauges(
        "client_certificates_ending",
        "Certificates in use that end within this time, with nothing in their place.",
        ("within",),
        (((within,), count) for within, count in figures.ending.items()),
    )
    yield _gauge(
        "client_certificates_first_not_after_seconds",
        "The next time at which a client, or an instance of it, has no certificate in date.",
        figures.first_end,
    )
    yield _gauges(
        "client_certificate_not_after_seconds",
        "End of each certificate counted as ending within 30d, the first 100 of them.",
        ("client_id", "x5t_s256"),
        (((one.client_id, one.thumbprint), one.not_after) for one in figures.soonest),
    )
    yield _gauges(
        "trust_anchors_first_not_after_seconds",
        "End of the first anchor to end of each trust set.",
        ("trust_set",),
        (((name,), end) for name, end in figures.anchors.items()),
    )
    yield _gauge(
        "signing_key_current_since_seconds",
        "Since when the current signing key signs.",
        figures.signing_since,
    )
    yield _gauges(
        "crls_first_end_seconds",
        "When the first CRL of a trust set counts no more; 0: a CA has none.",
        ("trust_set", "policy"),
        figures.lists.items(),
    )
    yield _gauges(
        "bundle_end_seconds",
        "When the copy of a trust set's SPIFFE bundle counts no more; 0: never loaded.",
        ("trust_set",),
        (((name,), end) for name, end in figures.bundles.items()),
    )


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    return _gauges(name, meaning, (), [] if value is None else [((), value)])


def _gauges(
    name: str,
    meaning: str,
    labels: Sequence[str],
    values: Iterable[tuple[Sequence[str], float]],
) -> Metric:
    """The family of this name, with a sample for each set of values of its labels."""
    family = GaugeMetricFamily(f"certbound_{name}", meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def rendered(gauges: Gauges, counts: Counts, counted: Counted | None = None) -> bytes:
    """The text of one scrape, with what the operating system tells of this process.

    `counted`: what several workers counted, instead of what this one did.
    """
    registry = CollectorRegistry()
    registry.register(gauges)
    if counted is not None:
        registry.register(whole.Families(counts, counted))
        return generate_latest(registry)
    ProcessCollector(registry=registry)
    return generate_latest(registry) + generate_latest(counts.registry)
