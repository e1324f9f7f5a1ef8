"""The counts of several workers as one server's metrics.

Guarantees: counters and histograms are sums over all workers since the supervisor began, those that
are gone included, so they never fall. Gauges, and what the operating system tells of a process, are
each worker's own, with the label ``worker``: 10,000 waiting requests are a full queue for one
worker and none for eight.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from app.counts import Counts

WORKER = "worker"
"""The label."""
_SUMMED = frozenset({"counter", "histogram"})


@dataclass(frozen=True, slots=True)
class Counted:
    """By name (`_name`) the sums of all workers, and by worker and name how it stands there."""

    sums: Mapping[str, float]
    levels: Mapping[int, Mapping[str, float]]


@dataclass(slots=True)
class Changes:
    """What one worker has to report."""

    counts: Counts
    _before: dict[str, float] = field(default_factory=dict)
    _process: Collector = field(default_factory=lambda: ProcessCollector(registry=None))

    def take(self) -> tuple[dict[str, float], dict[str, float]]:
        """How much more each sum is since this was called last, and how levels stand.

        A sum that is new is among them even at nothing, so that its series begins there.
        """
        sums: dict[str, float] = {}
        levels: dict[str, float] = {}
        for family in (*self.counts.registry.collect(), *self._process.collect()):
            for sample in family.samples:
                name = _name(family.name, sample.name, sample.labels)
                if not _is_summed(family):
                    levels[name] = sample.value
                elif sample.value != self._before.get(name):
                    sums[name] = sample.value - self._before.get(name, 0)
                    self._before[name] = sample.value
        return sums, levels


@dataclass(frozen=True, slots=True, eq=False)
class Families(Collector):
    """All of it as metric families, in the order and with the meanings of `counts`."""

    counts: Counts
    counted: Counted

    def collect(self) -> Iterator[Metric]:
        """Every family that this release knows."""
        samples = _by_family(self.counted)
        own = CollectorRegistry()
        ProcessCollector(registry=own)
        for family in (*own.collect(), *self.counts.registry.collect()):
            metric = Metric(family.name, family.documentation, family.type)
            order = {each.name + str(each.labels): n for n, each in enumerate(family.samples)}
            metric.samples = sorted(  # a histogram's buckets have to stand in a row
                samples[family.name],
                key=lambda each: order.get(each.name + str(each.labels), len(order)),
            )
            yield metric


def one_replaced(how: str) -> dict[str, float]:
    """What a supervisor counts when it replaced a worker."""
    name = "certbound_workers_replaced"
    return {_name(name, f"{name}_total", {"how": how}): 1}


def _is_summed(family: Metric) -> bool:
    return family.type in _SUMMED and not family.name.startswith("process_")


def _by_family(counted: Counted) -> "defaultdict[str, list[Sample]]":
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for name, value in counted.sums.items():
        family, sample, labels = json.loads(name)
        found[family].append(Sample(sample, labels, value))
    for number, levels in counted.levels.items():
        for name, value in levels.items():
            family, sample, labels = json.loads(name)
            found[family].append(Sample(sample, {**labels, WORKER: str(number)}, value))
    return found


def _name(family: str, sample: str, labels: Mapping[str, str]) -> str:
    return json.dumps([family, sample, labels], sort_keys=True)
