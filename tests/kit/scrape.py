"""What Prometheus sees of a server."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.running import Running
from tests.kit.wire import TIMEOUT


def at(server: Running) -> str:
    """The listener's URL."""
    return f"http://127.0.0.1:{server.environment['CERTBOUND_OPS_PORT']}"


def samples(server: Running) -> dict[tuple[str, ...], float]:
    """What a scrape gives, by name and label values."""
    answer = httpx2.get(f"{at(server)}/metrics", trust_env=False, timeout=TIMEOUT)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
