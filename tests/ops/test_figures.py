"""The figures: read seldom, bounded, and kept while the database is away."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import clock
from app.admin import authority
from app.admin import clients as admin_clients
from app.admin.identity import by_certificates
from app.counts import Counts
from app.ops import figures as module
from app.ops.figures import MOST_NAMED, LastFigures, Reading, figures
from app.ops.metrics import Gauges, rendered
from app.store import clients, denied, engine, registry, uses
from app.store.engine import StoreUnavailable
from app.store.uses import CertificateUse
from tests.kit.asgi import Stage
from tests.kit.documents import ROOT
from tests.kit.issuing import issue

DAY = 86_400
NAMED = "client_certificate_not_after_seconds"


def _samples(reading: Reading) -> dict[tuple[str, ...], float]:
    """By name and label values, our own families only."""
    text = rendered(Gauges(reading, ready=True, server_certificate_end=7), Counts()).decode()
    return {
        (sample.name.removeprefix("certbound_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("certbound_")
    }


def _seen(stage: Stage, count: int, ends: int) -> None:
    """So many clients, each seen with a certificate; the n-th ends n seconds after `ends`."""
    now = clock.now()
    with registry.change(stage.house.database) as conn:
        bot = clients.find(conn, "bot")
        assert bot is not None
        for number in range(count):
            clients.add(conn, replace(bot, client_id=f"c{number}", collision_key=f"c{number}"))
            use = CertificateUse(
                f"c{number}", f"t{number}", "CN=c", "CN=ca", f"{number:x}", f"k{number}", 1,
                ends + number, "default", now,
            )  # fmt: skip
            uses.record(conn, [use])


def _end(path: Path) -> int:
    return authority.facts_of(path).not_after


def test_what_ends_is_counted(stage: Stage) -> None:
    """Learned and registered certificates count up to each time within which they end."""
    now = clock.now()
    folder = stage.settings.home / "certs"
    cert = issue(folder, "week", seconds=6 * DAY, self_signed=True)
    stage.register("week", by_certificates([cert]))
    _seen(stage, 1, now + 2 * DAY)
    found = figures(stage.house.database, now)
    assert found.ending == {"ended": 0, "1d": 0, "7d": 2, "30d": 2}
    assert [one.client_id for one in found.soonest] == ["c0", "week"]
    assert found.first_end == now + 2 * DAY
    assert set(found.anchors) == {"default"}
    assert found.signing_since is not None
    later = figures(stage.house.database, now + 3 * DAY)
    assert later.ending == {"ended": 1, "1d": 1, "7d": 2, "30d": 2}
    assert later.first_end == found.soonest[1].not_after, "what has ended is no longer the next"


def test_what_is_not_in_use_is_not_counted(stage: Stage) -> None:
    """A client with a longer one, a disabled client and a denied certificate are left out."""
    now = clock.now()
    folder = stage.settings.home / "certs"
    short = issue(folder, "short", seconds=DAY, self_signed=True)
    longer = issue(folder, "longer", seconds=90 * DAY, self_signed=True)
    stage.register("both", by_certificates([short, longer]))
    _seen(stage, 2, now + DAY)
    admin_clients.disable(stage.desk, "c0")
    assert figures(stage.house.database, now).ending["30d"] == 1
    with registry.change(stage.house.database) as conn:
        denied.deny(conn, "spki", "k1", reason="", actor="test", at=now)
    found = figures(stage.house.database, now)
    assert (found.ending["30d"], found.soonest) == (0, ())
    assert found.first_end == _end(longer)


def test_names_are_bounded(stage: Stage) -> None:
    """However many certificates end, at most a hundred are named, the first to end first."""
    now = clock.now()
    _seen(stage, MOST_NAMED + 20, now + DAY)
    found = figures(stage.house.database, now)
    assert found.ending["30d"] == MOST_NAMED + 20
    assert [one.client_id for one in found.soonest] == [f"c{n}" for n in range(MOST_NAMED)]
    samples = _samples(Reading(up=True, figures=found))
    assert len([key for key in samples if key[0] == NAMED]) == MOST_NAMED
    assert samples[NAMED, "c7", "t7"] == now + DAY + 7
    assert samples["client_certificates_ending", "30d"] == MOST_NAMED + 20
    assert samples["server_certificate_not_after_seconds",] == 7


def test_what_nothing_is_known_of_has_no_sample() -> None:
    """Before the first read there is no zero that looks like an answer, only ``database_up 0``."""
    samples = _samples(Reading(up=False, figures=None))
    assert samples["database_up",] == 0
    assert [key for key in samples if key[0].startswith("client_certificate")] == []


def test_asking_often_reads_seldom(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapes within ten seconds, and those that come at once, share one read."""
    reads = []

    def counted(*arguments: Any) -> Any:
        reads.append(1)
        return figures(*arguments)

    monkeypatch.setattr(module, "figures", counted)

    async def scrape() -> None:
        last = LastFigures(stage.house.database)
        found = await asyncio.gather(*(last.read() for _ in range(5)))
        assert {each.up for each in found} == {True}
        assert (await last.read()).figures is found[0].figures
        assert len(reads) == 1
        last._due = 0.0
        assert (await last.read()).figures is not found[0].figures
        assert len(reads) == 2

    asyncio.run(scrape())


def test_what_was_known_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away leaves the last figures and ``database_up 0``; then it heals."""

    async def scrape() -> None:
        last = LastFigures(stage.house.database)
        known = await last.read()
        with monkeypatch.context() as patched:
            patched.setattr(engine.Database, "read", _away)
            last._due = 0.0
            away = await last.read()
            assert (away.up, away.figures) == (False, known.figures)
        last._due = 0.0
        assert (await last.read()).up

    asyncio.run(scrape())


def test_the_manual_names_them_all(stage: Stage) -> None:
    """Every metric of ours that the manual names, in its alerts too, is there, and the reverse."""
    reading = Reading(up=True, figures=figures(stage.house.database, clock.now()))
    text = rendered(Gauges(reading, ready=True, server_certificate_end=7), Counts()).decode()
    manual = (ROOT / "docs" / "production.md").read_text()
    emitted = set(re.findall(r"^# TYPE (certbound_[a-z_]+) ", text, re.MULTILINE))
    named = set(re.findall(r"\bcertbound_[a-z_]+\b", manual))
    assert {re.sub("_(bucket|count|sum)$", "", each) for each in named} == emitted


def _away(*_: object) -> NoReturn:
    raise StoreUnavailable("gone")
