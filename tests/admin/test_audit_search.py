"""Entries are found by what they concern and written out as lines, on both databases."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from app.admin import audit_export, audit_search
from app.admin.audit_search import search
from app.admin.audit_spelling import FORMATS, cef, jsonl, ocsf
from app.audit import (
    CertificateEvidence,
    CertificateExpiring,
    Event,
    PresentationsCounted,
    TokenPresented,
    canonical,
)
from app.store import audit
from app.store.audit import AuditRow, Wanted
from app.store.engine import Database
from tests.kit.trail import Trail, laid, refusal
from tests.store.decisions import View, issue

NASTY = 'a"b\\c|d=e\nf\rg\x00h\ud800i\u202ej'
"""Whatever a refused client may have sent."""
THUMB = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


@pytest.fixture
def trail(db: Database, tmp_path: Path) -> Trail:
    """Ten refusals of as many clients in each of two streams."""
    trail = laid(db, tmp_path)
    for number in range(10):
        certificate = CertificateEvidence(thumbprint=f"thumb-{number}", serial=f"0{number}ab")
        trail.append(
            "a", refusal(f"client-{number}", certificate=certificate, resource="https://r")
        )
        trail.append("b", refusal(f"client-{number}", reason="weak_key"))
    return trail


def found(trail: Trail, count: int = 100, serial: str | None = None, **wanted: object) -> list[str]:
    """Streams and numbers of what is found."""
    rows = search(trail.desk, Wanted(**wanted), count, serial=serial).rows  # type: ignore[arg-type] # by name
    return [f"{row.writer}{row.seq}" for row in rows]


@pytest.mark.parametrize("step", [3, 10_000])
def test_each_member_finds_its_entries(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """However many slices it takes, and whatever else is there."""
    monkeypatch.setattr(audit_search, "_SLICE", step)
    monkeypatch.setattr(audit_search, "_READ_SLICE", step)
    assert found(trail, client_id="client-3") == ["a4", "b4"]
    assert found(trail, thumbprint="thumb-3") == ["a4"]
    assert found(trail, serial="03ab") == ["a4"]
    assert found(trail, serial="03AB") == []
    assert found(trail, serial="ab") == []
    assert found(trail, reason="weak_key", client_id="client-9") == ["b10"]
    assert found(trail, resource="https://r", count=2) == ["a9", "a10"]
    assert found(trail, event="token.issued") == []
    assert len(found(trail, decision="refused")) == 20
    assert len(found(trail, event="key.added")) == 2


def test_dates_bound_what_is_found(trail: Trail) -> None:
    """From the first, inclusive, to the second, exclusive."""
    with trail.db.read() as conn:
        rows = audit.search(conn, Wanted(decision="refused"))
    middle = rows[10].at_ms
    before = found(trail, until_ms=middle, decision="refused")
    behind = found(trail, since_ms=middle, decision="refused")
    assert len(before) + len(behind) == 20
    assert {row.at_ms < middle for row in rows if f"{row.writer}{row.seq}" in before} <= {True}


def test_more_than_asked_for_is_said(trail: Trail) -> None:
    """Exactly as many as there are is not more."""
    assert search(trail.desk, Wanted(client_id="client-3"), 1).more
    assert not search(trail.desk, Wanted(client_id="client-3"), 2).more


def test_export_is_complete_and_in_order(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every entry once, page by page, by time, stream and number; the same again."""
    monkeypatch.setattr(audit_export, "_PAGE", 3)
    rows = list(audit_export.entries(trail.desk, Wanted()))
    places = [(row.at_ms, row.writer, row.seq) for row in rows]
    assert places == sorted(places)
    assert len(set(places)) == len(places) > 20
    assert rows == list(audit_export.entries(trail.desk, Wanted()))


def test_every_line_of_our_own_form_verifies(trail: Trail) -> None:
    """From the line alone: body, place and hash belong together, whatever was sent."""
    trail.append("a", refusal(NASTY))
    for row in audit_export.entries(trail.desk, Wanted()):
        line = json.loads(jsonl(row))
        try:
            body = canonical(line["body"]).decode()
        except UnicodeEncodeError:
            body = json.dumps(line["body"], sort_keys=True, separators=(",", ":"))
        prev = bytes.fromhex(line["prev"])
        digest = audit.link(prev, line["writer"], line["seq"], line["at_ms"], body)
        assert digest.hex() == line["hash"]


def lines_of(trail: Trail, *events: Event) -> list[AuditRow]:
    """These events as stored entries."""
    trail.append("siem", *events)
    return list(search(trail.desk, Wanted(), 1000).rows)[-len(events) :]


def presented(verdict: str = "other_certificate") -> TokenPresented:
    """A token that came with somebody else's certificate."""
    return TokenPresented(
        decision="refused",
        reason="binding_mismatch",
        client_id="bot",
        jti="j1",
        resource="https://r",
        certificate=CertificateEvidence(thumbprint=THUMB, issuer="CN=CA", serial="01"),
        reporter="api",
        verdict=verdict,
        confirmation="x5t#S256",
        bound_to="other",
    )


def test_ocsf_says_what_the_schema_requires(trail: Trail) -> None:
    """The required members of both classes, numbers that belong together, and the body whole."""
    issued = issue(View(1, frozenset({"bot"}))).event
    expiring = CertificateExpiring(actor="server", client_id="bot", details={"within_seconds": 1})
    rows = lines_of(trail, issued, refusal(), presented(), expiring)
    logon, refused, replay, act = [json.loads(ocsf(row)) for row in rows]
    for event in (logon, refused, replay, act):
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == 3
        assert event["metadata"]["version"] == "1.3.0"
        assert event["metadata"]["product"]["vendor_name"] == "certbound"
        assert event["unmapped"]["body"]["event"] == event["message"]
    assert [e["type_uid"] for e in (logon, refused, replay, act)] == [
        300201,
        300201,
        300299,
        300403,
    ]
    assert [e["status_id"] for e in (logon, refused, replay, act)] == [1, 2, 2, 1]
    assert [e["severity_id"] for e in (logon, refused, replay, act)] == [1, 2, 4, 1]
    assert logon["user"]["uid"] == "bot"
    assert logon["session"]["uid"] == rows[0].jti
    assert "certificate" not in refused  # its issuer is not known, and the schema wants it
    (fingerprint,) = replay["certificate"]["fingerprints"]
    assert (fingerprint["algorithm_id"], len(fingerprint["value"])) == (3, 64)
    assert act["actor"]["user"]["name"] == "server"
    assert act["entity"]["uid"] == "bot"


def test_entries_that_count_say_how_many(trail: Trail) -> None:
    """In the members that both forms have for it, dates in milliseconds."""
    one = presented()
    members = {each.name: getattr(one, each.name) for each in fields(one)}
    many = PresentationsCounted(**members, count=7, first_at=5, last_at=9)
    row, plain = lines_of(trail, many, one)
    event = json.loads(ocsf(row))
    assert [event[name] for name in ("count", "start_time", "end_time")] == [7, 5000, 9000]
    assert event["severity_id"] == 4
    assert " cnt=7 start=5000 end=9000 " in cef(row)
    assert "count" not in json.loads(ocsf(plain))
    assert " cnt=" not in cef(plain)


def test_cef_keeps_its_fields_apart(trail: Trail) -> None:
    """Bars, equal signs, backslashes and ends of lines from outside change nothing."""
    certificate = CertificateEvidence(thumbprint=THUMB, subject=NASTY)
    (row,) = lines_of(trail, replace(refusal(NASTY), certificate=certificate))
    line = cef(row)
    assert "\n" not in line
    assert "\r" not in line
    assert line.isprintable()
    head = line.split("|")
    assert head[0] == "CEF:0"
    assert head[4:7] == ["request.refused", "request refused", "4"]
    assert r'a"b\\c|d\=e\nf\rg' in line
    assert f"externalId=siem:{row.seq}" in line


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_form_is_one_line_of_text(trail: Trail, name: str) -> None:
    """That any reader takes, lone surrogates or not."""
    for row in lines_of(trail, refusal(NASTY), presented()):
        text = FORMATS[name](row)
        assert text.encode()
        assert len(text.splitlines()) == 1


def test_severity_shows_a_replay(trail: Trail) -> None:
    """A token with another certificate stands out."""
    replay, held = lines_of(trail, presented(), replace(presented("holder"), decision="accepted"))
    assert "|8|" in cef(replay)
    assert "|1|" in cef(held)
