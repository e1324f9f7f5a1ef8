"""A token presented again and again: few entries, the first replay always, and all in the sum."""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.admin import incident, proxies, token_revocation
from app.admin.authority import Request
from app.admin.explain import together
from app.audit import PresentationsCounted, TokenPresented
from app.cli import incident_note
from app.endpoints import sightings
from app.endpoints.sightings import PER_LINE, PER_TOKEN, Mark, Sightings
from app.jose import jwt
from app.store import audit
from app.store.audit import AuditRow, Wanted
from app.store.engine import StoreUnavailable
from app.tls.peer import PeerCertificate
from app.tokens.forward import Forwarded
from tests.endpoints.test_forward_auth import RESOURCE, Edge, rfc9440
from tests.endpoints.test_refusals_in_masses import Hand
from tests.kit.asgi import Answer, Stage


@dataclass
class Scene:
    """A proxy, a token of ``bot``, a thief, and what is recorded of them."""

    edge: Edge
    clock: Hand

    @property
    def jti(self) -> str:
        """Of the token."""
        return str(jwt.unverified(self.edge.token)[1]["jti"])

    def replay(self, count: int, peer: PeerCertificate | None = None) -> list[str]:
        """Ask so often with another certificate; the references."""
        refs = []
        for _ in range(count):
            answer = self.edge.ask(headers=[rfc9440(peer or self.edge.thief)])
            assert answer.status == 401
            refs.append(answer.json()["error_ref"])
        return refs

    def record(self, *, all_of_them: bool = False) -> None:
        """What the server does every few seconds."""
        door = self.edge.stage.house.door
        asyncio.run(door.sightings.record(door.journal, all_of_them=all_of_them))

    def rows(self, event: str = TokenPresented.name) -> list[AuditRow]:
        """Entries of this name about the token."""
        with self.edge.stage.house.database.read() as conn:
            return list(audit.search(conn, Wanted(event=event, jti=self.jti), count=100_000))

    def counted(self) -> list[dict[str, Any]]:
        """What the numbers say."""
        return [json.loads(row.body) for row in self.rows(PresentationsCounted.name)]

    def other(self, number: int) -> PeerCertificate:
        """Somebody else with a certificate."""
        return self.edge.stage.issue(f"other{number}", Request(dn=f"CN=other{number}"))


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """At a door whose clock stands."""
    clock = Hand()
    object.__setattr__(stage.house.door, "sightings", Sightings(clock))
    return Scene(Edge(stage), clock)


def test_a_replay_is_recorded_and_then_counted(scene: Scene) -> None:
    """Its first times one by one; then under one reference that says so, and their number follows."""
    refs = scene.replay(PER_LINE + 40)
    assert len(set(refs)) == PER_LINE
    assert len(scene.rows()) == PER_LINE
    assert refs[PER_LINE:] == [refs[PER_LINE - 1]] * 40
    shared = scene.rows()[-1]
    many = together(scene.edge.stage.desk, shared)
    assert many is not None
    assert (many.alike, many.count) == (sightings.ALIKE, None)
    scene.clock.now = 59
    scene.record()
    assert scene.counted() == []
    scene.clock.now = 61
    scene.record()
    (body,) = scene.counted()
    assert (body["count"], body["verdict"]) == (40, "other_certificate")
    assert body["certificate"]["subject"] == "CN=thief"
    many = together(scene.edge.stage.desk, shared)
    assert many is not None
    assert many.count == 41
    assert together(scene.edge.stage.desk, scene.rows()[0]) is None


def test_the_note_adds_them_up(scene: Scene) -> None:
    """Holder or replay, how often, first and last: recorded ones and counted ones together."""
    for _ in range(20):
        assert scene.edge.ask().status == 200
    scene.replay(PER_LINE + 6)
    scene.record(all_of_them=True)
    scene.replay(4)
    scene.record(all_of_them=True)
    found = incident.of(scene.edge.stage.desk, scene.jti)
    assert found.count("holder") == 20
    assert found.count("other_certificate") == PER_LINE + 10
    assert "was replayed" in incident_note.conclusion(found)
    by_certificate = incident.of(scene.edge.stage.desk, scene.edge.bot.thumbprint)
    assert by_certificate.count("other_certificate") == PER_LINE + 10
    (carried,) = incident.of(scene.edge.stage.desk, scene.edge.thief.thumbprint).carried
    assert carried.count == PER_LINE + 10
    assert carried.first_ms <= carried.last_ms


def test_a_steady_replay_shows_while_it_lasts(scene: Scene) -> None:
    """A number each quarter of an hour."""
    scene.replay(PER_LINE + 1)
    for minute in range(1, 18):
        scene.clock.now = minute * 55
        scene.replay(1)
        scene.record()
    assert [body["count"] for body in scene.counted()] == [18]


def test_no_crowd_hides_the_first_replay(scene: Scene) -> None:
    """Not by its holder, not without a certificate: the other certificate has its entry at once."""
    for _ in range(30):
        scene.edge.ask()
        scene.edge.ask(headers=[])
    (ref,) = scene.replay(1)
    entry = scene.edge.stage.explained(ref)
    assert entry["certificate"]["thumbprint"] == scene.edge.thief.thumbprint
    assert entry["verdict"] == "other_certificate"


def test_many_certificates_make_few_entries(scene: Scene) -> None:
    """The first ones by name; then one more entry for all others, and a number without a name."""
    others = [scene.other(number) for number in range(PER_TOKEN + 3)]
    refs = [scene.replay(1, other)[0] for other in others]
    assert len(scene.rows()) == PER_TOKEN + 1
    named = {row.thumbprint for row in scene.rows()}
    assert {other.thumbprint for other in others[:PER_TOKEN]} < named
    assert len(set(refs)) == PER_TOKEN + 1
    scene.record(all_of_them=True)
    (body,) = scene.counted()
    assert (body["count"], body["alike"]) == (2, list(sightings.ROUGHLY_ALIKE))
    assert "certificate" not in body
    found = incident.of(scene.edge.stage.desk, scene.jti)
    assert found.count("other_certificate") == len(others)
    told = next(s for s in incident_note.sections(found) if "replayed" in s.title).statements
    assert "too many to tell apart" in str(told)
    # Another token begins anew, whatever its neighbour was through.
    scene.edge.token = scene.edge.issued()
    assert scene.edge.stage.explained(scene.replay(1, others[-1])[0])["certificate"]


def test_verdicts_of_introspection_are_counted_too(scene: Scene) -> None:
    """Alike; and a token that was revoked meanwhile is inactive, counted or not."""
    stage = scene.edge.stage
    api = stage.add_client("api", grants=())
    stage.let_see("api", RESOURCE)

    def ask() -> Answer:
        return stage.introspect(
            scene.edge.token,
            api,
            client_id="api",
            certificate_thumbprint=scene.edge.thief.thumbprint,
        )

    said = {"active": False, "certificate_verdict": "other_certificate"}
    assert [ask().json() for _ in range(PER_LINE + 5)] == [said] * (PER_LINE + 5)
    assert len(scene.rows()) == PER_LINE
    token_revocation.revoke(stage.desk, scene.jti)
    assert ask().json() == {"active": False}
    scene.record(all_of_them=True)
    (body,) = scene.counted()
    assert (body["count"], body["reporter"]) == (5, "api")


def test_a_proxy_that_is_gone_is_refused_though_it_was_counted(scene: Scene) -> None:
    """What is counted is decided on the registry in force, like everything."""
    scene.replay(PER_LINE + 1)
    proxies.remove(scene.edge.stage.desk, "edge")
    assert scene.edge.ask(headers=[rfc9440(scene.edge.thief)]).json()["error"] == "invalid_request"


def test_what_is_remembered_is_bounded(scene: Scene) -> None:
    """By number, the oldest first, their numbers kept; and by time."""
    kept = scene.edge.stage.house.door.sightings
    kept.max_lines = 3
    scene.replay(PER_LINE + 5)
    first = scene.jti
    for _ in range(3):
        scene.edge.token = scene.edge.issued()
        scene.edge.ask()
    assert len(kept._lines) == 3
    scene.record()
    with scene.edge.stage.house.database.read() as conn:
        (row,) = audit.search(conn, Wanted(event=PresentationsCounted.name, jti=first))
    assert json.loads(row.body)["count"] == 5
    scene.clock.now = sightings.LONGEST
    scene.record()
    assert not kept._lines


def verdict(**members: Any) -> Forwarded:
    """One that refuses."""
    event = TokenPresented(
        decision="refused",
        reason="no_certificate",
        ref="mine",
        jti="j",
        reporter="proxy:edge",
        verdict="no_certificate",
        confirmation="x5t#S256",
        bound_to="t",
    )
    return Forwarded(replace(event, **members), None, None)  # type: ignore[arg-type] # not looked at


def test_nobody_quotes_an_entry_that_is_not_on_disk() -> None:
    """Those alike wait for it; where it could not be written, the next one writes its own."""

    async def run() -> None:
        kept = Sightings(Hand())
        gate = asyncio.Event()
        written: list[Forwarded] = []

        async def fail(_mark: Mark) -> Forwarded:
            await gate.wait()
            raise StoreUnavailable("away")

        async def write(mark: Mark) -> Forwarded:
            written.append(mark(verdict(ref=f"entry{len(written)}")))
            return written[-1]

        for _ in range(PER_LINE - 1):
            await kept.settle("/", verdict(), write)
        opening = asyncio.create_task(kept.settle("/", verdict(), fail))
        await asyncio.sleep(0)
        others = [asyncio.create_task(kept.settle("/", verdict(), write)) for _ in range(5)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in others)
        gate.set()
        with pytest.raises(StoreUnavailable):
            await opening
        refs = {(await task).event.ref for task in others}
        assert refs == {f"entry{PER_LINE - 1}"}
        assert [bool(each.event.alike) for each in written] == [False] * (PER_LINE - 1) + [True]

    asyncio.run(run())


def test_an_entry_about_something_else_is_not_shared() -> None:
    """Where the journal, on a newer registry, decided otherwise, the next one is recorded."""

    async def run() -> None:
        kept = Sightings(Hand())

        async def otherwise(mark: Mark) -> Forwarded:
            return mark(verdict(verdict="holder", reason=None, decision="accepted", ref=None))

        for _ in range(PER_LINE + 2):
            found = await kept.settle("/", verdict(), otherwise)
            assert (found.event.verdict, found.event.alike) == ("holder", None)

    asyncio.run(run())
