"""The counts of several workers as one server's: sums that never fall, levels by worker."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.counts import Counts
from app.ops.whole import Changes, Counted, Families, one_replaced
from app.workers.totals import Report, Reports, Totals


def told(changes: Changes) -> Report:
    """A worker's report, as it comes over the line."""
    return Report.decoded(Report(*changes.take()).encoded())


def scraped(totals: Totals, **levels: Report) -> dict[tuple[str, ...], float]:
    """What a scrape gives; `levels` by worker, ``w1`` and so on."""
    standing = ((int(name[1:]), report.levels) for name, report in levels.items())
    reports = Reports.decoded(totals.with_levels(standing).encoded())
    registry = CollectorRegistry()
    registry.register(Families(Counts(), Counted(reports.sums, reports.levels)))
    return {
        (sample.name.removeprefix("certbound_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_sums_and_levels() -> None:
    """Two workers and a third in the place of the first: everything is added up, once."""
    totals = Totals()
    first, second, third = Counts(), Counts(), Counts()
    last = {}
    for name, counts, requests in (("w1", first, 3), ("w2", second, 4), ("w1", third, 5)):
        changes = Changes(counts)
        totals.add(told(changes).sums)
        for _ in range(requests):
            counts.request("/token", 200)
            counts.batch(requests, 0.1)
        counts.connections.set(requests)
        totals.add(told(changes).sums)
        last[name] = told(changes)
        totals.add(last[name].sums)
    found = scraped(totals, **last)
    assert found["requests_total", "/token", "200"] == 12
    assert found["journal_batch_size_sum",] == 9 + 16 + 25
    assert found["journal_batch_size_bucket", "4.0"] == 7
    assert found["journal_batch_size_bucket", "+Inf"] == 12
    assert found["open_connections", "1"] == 5
    assert found["open_connections", "2"] == 4
    assert found["process_open_fds", "1"] > 0
    assert ("process_open_fds",) not in found


def test_series_begin_at_nothing() -> None:
    """A histogram is there before anything was counted: a rate needs its first value."""
    totals = Totals()
    totals.add(told(Changes(Counts())).sums)
    found = scraped(totals)
    assert found["journal_batch_seconds_count",] == 0
    assert found["status_lists_signed_total",] == 0


def test_what_was_replaced() -> None:
    """The supervisor counts in the same words."""
    totals = Totals()
    for how in ("ended", "hung", "ended"):
        totals.add(one_replaced(how))
    found = scraped(totals)
    assert found["workers_replaced_total", "ended"] == 2
    assert found["workers_replaced_total", "hung"] == 1


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'[{}, {"a": "b"}]', b'[{"a": 1', b"\xff"])
def test_what_is_no_report(line: bytes) -> None:
    """A line cut off by the end of a worker raises what the supervisor passes over."""
    with pytest.raises(ValueError, match=r"."):
        Report.decoded(line)
