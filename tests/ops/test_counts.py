"""What the process counts: every request and decision, in words of ours alone."""

from dataclasses import replace

import pytest
from OpenSSL import SSL
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import clock
from app.counts import Counts
from app.endpoints.door import Lifecycle
from app.ops.figures import Figures, Reading, figures
from app.ops.readiness import readiness
from app.tls.sending import why
from tests.kit.asgi import Stage


def _counted(counts: Counts) -> dict[tuple[str, ...], float]:
    """By name and values, these in the order of the labels' names."""
    return {
        (sample.name.removeprefix("certbound_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(counts.registry).decode())
        for sample in family.samples
    }


def test_requests_and_decisions(stage: Stage) -> None:
    """A token, a refusal and a question: each counted once, with method, grant and reason."""
    token = stage.token(stage.bot).json()["access_token"]
    stage.token(None)
    stage.token(stage.bot, grant_type="password")
    stage.introspect(token)
    found = _counted(stage.house.door.counts)
    grant, method = "client_credentials", "tls_client_auth"
    assert found["requests_total", "/token", "200"] == 1
    assert found["requests_total", "/token", "401"] == 1
    assert found["requests_total", "/introspect", "200"] == 1
    assert found["decisions_total", "issued", "/token", grant, method, ""] == 1
    assert found["decisions_total", "refused", "/token", grant, method, "no_certificate"] == 1
    assert found["decisions_total", "refused", "/token", "other", method, "grant_unknown"] == 1
    assert found["audit_refusals_total", "alone"] == 2
    assert found["journal_batch_size_sum",] == found["journal_batch_seconds_count",] == 3
    assert found["queue_depth", "journal"] == found["queue_depth", "look-ups"] == 0


def test_no_word_of_a_client(stage: Stage) -> None:
    """Invented grants, clients, paths and lists add no series and stand in none."""
    for number in range(5):
        stage.token(None, client_id=f"canary{number}", grant_type=f"canary{number}")
        stage.ask("GET", f"/status-lists/canary{number}")
        stage.ask("GET", f"/canary{number}")
    text = generate_latest(stage.house.door.counts.registry).decode()
    assert "canary" not in text
    assert len([each for each in _counted(stage.house.door.counts) if "other" in each]) == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("tlsv1 alert unknown ca", "alert"),
        ("no shared cipher", "cipher"),
        ("unsupported protocol", "version"),
        ("http request", "not_tls"),
        ("bad record mac <script>", "protocol"),
    ],
)
def test_why_a_handshake_failed(text: str, word: str) -> None:
    """OpenSSL's reasons become a few words of ours."""
    assert why(SSL.Error([("SSL routines", "", text)])) == word


def _figures(stage: Stage) -> Figures:
    return figures(stage.house.database, clock.now())


def test_ready_and_not(stage: Stage) -> None:
    """What no client can do without makes it not ready, and the check names it."""
    up, now = Reading(up=True, figures=_figures(stage)), clock.now()
    on = Lifecycle(ready=True)
    found = readiness(on, up, now)
    assert (found.state, set(found.checks.values())) == ("ready", {"ok"})
    cases = {
        "server": (Lifecycle(), up),
        "database": (on, replace(up, up=False)),
        "schema": (on, Reading(up=True, figures=replace(_figures(stage), is_schema_current=False))),
        "signing_key": (on, Reading(up=True, figures=replace(_figures(stage), signing_since=None))),
    }
    for name, (lifecycle, reading) in cases.items():
        found = readiness(lifecycle, reading, now)
        assert found.state == "not ready"
        assert [each for each, word in found.checks.items() if word != "ok"] == [name]


def test_degraded(stage: Stage) -> None:
    """A list of a hard policy or a bundle that is over degrades; a soft one does not."""
    now, known = clock.now(), _figures(stage)
    on = Lifecycle(ready=True)

    def found(known: Figures) -> str:
        return readiness(on, Reading(up=True, figures=known), now).state

    assert found(replace(known, lists={("acme", "hard"): now})) == "degraded"
    assert found(replace(known, lists={("acme", "hard"): now + 1})) == "ready"
    assert found(replace(known, lists={("acme", "soft"): 0})) == "ready"
    assert found(replace(known, bundles={"mesh": 0})) == "degraded"
