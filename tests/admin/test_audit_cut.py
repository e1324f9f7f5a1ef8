"""Retention: what remains verifies, what is gone was signed off, recorded and kept first."""

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from app.admin.audit_cut import Cut, cut
from app.admin.problem import Problem
from app.audit import canonical
from app.keys.sign_off import TrailAltered
from app.store import audit
from app.store.audit import Wanted
from app.store.engine import Database
from app.store.tables import audit as table
from app.store.tables import audit_checkpoints
from tests.kit import tampering
from tests.kit.tampering import stream
from tests.kit.trail import Trail, laid, refusal

OLD, NEW = 1_000_000_000_000, 1_900_000_000_000
"""Milliseconds: entries before and behind the cut, which lies between."""
BETWEEN = 1_500_000_000_000


@pytest.fixture
def trail(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trail:
    """Streams a (5 old, 3 new) and b (2 old), and the operators' (all old but the last)."""
    at = OLD
    monkeypatch.setattr(audit, "now_ms", lambda: at)
    trail = laid(db, tmp_path)
    trail.now = OLD // 1000
    trail.sign()
    trail.append("a", *(refusal() for _ in range(5)))
    trail.append("b", refusal(), refusal())
    trail.act("one")
    trail.sign()
    at = NEW
    trail.now = NEW // 1000
    trail.append("a", *(refusal() for _ in range(3)))
    trail.act("two")
    trail.sign()
    return trail


def cut_at(trail: Trail, before_ms: int = BETWEEN, **options: object) -> object:
    """A cut without an export, unless asked."""
    plain: dict[str, object] = {"export": None, "without_export": True, "anyway": False}
    return cut(trail.desk, before_ms, **{**plain, **options})  # type: ignore[arg-type] # by name


def seqs(trail: Trail, writer: str) -> list[int]:
    """The numbers of the entries that are there."""
    with trail.db.read() as conn:
        return [row.seq for row in stream(conn, writer)]


def test_what_remains_verifies(trail: Trail) -> None:
    """Streams begin where the cut says; older checkpoints are gone; and it goes on from there."""
    cut_at(trail)
    assert seqs(trail, "a") == [6, 7, 8]
    assert seqs(trail, "b") == []
    verdict = trail.verify()
    assert (verdict.faults, verdict.cut_before_ms, verdict.left_over) == ([], BETWEEN, 0)
    assert verdict.checkpoints == 2
    trail.append("a", refusal())
    trail.append("b", refusal())
    trail.sign()
    assert trail.faults() == []
    assert seqs(trail, "b") == [3]


def test_the_cut_is_recorded(trail: Trail) -> None:
    """By whom, before when, how many."""
    cut_at(trail)
    with trail.db.read() as conn:
        (row,) = audit.search(conn, Wanted(event="audit.cut"))
    body = json.loads(row.body)
    assert body["actor"] == "tester"
    assert body["details"]["before"] == "2017-07-14T02:40:00Z"
    assert body["details"]["entries"] >= 7


def test_nothing_goes_without_being_kept_or_a_word(trail: Trail) -> None:
    """Neither a file nor --yes: nothing happens."""
    with pytest.raises(Problem, match="gone for good"):
        cut_at(trail, without_export=False)
    assert len(seqs(trail, "a")) == 8


def test_what_goes_is_kept_in_a_file(trail: Trail, tmp_path: Path) -> None:
    """Every entry, with its place in the chain, whose end the cut signed."""
    path = tmp_path / "old.jsonl"
    cut_at(trail, export=path, without_export=False)
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    kept = [line for line in lines if line["writer"] == "a"]
    assert [line["seq"] for line in kept] == [1, 2, 3, 4, 5]
    with trail.db.read() as conn:
        assert kept[-1]["hash"] == stream(conn, "a")[0].prev.hex()
    head = bytes(32)
    for line in kept:
        body = canonical(line["body"]).decode()
        head = audit.link(head, "a", line["seq"], line["at_ms"], body)
        assert head.hex() == line["hash"]


def test_an_audit_that_does_not_verify_is_not_cut(trail: Trail) -> None:
    """It would remove what shows it; only with force."""
    with trail.db.begin() as conn:
        tampering.edit(conn, "a", 2, body="{}")
    with pytest.raises(Problem, match="not intact"):
        cut_at(trail)
    cut_at(trail, anyway=True)
    assert trail.faults() == []


def test_nothing_old_is_nothing_to_cut(trail: Trail) -> None:
    """It says so, and no checkpoint is written."""
    assert cut_at(trail, OLD - 1) == Cut(entries=0, checkpoints=0, number=None, exported=None)
    assert trail.verify().checkpoints == 3


def test_an_interrupted_cut_is_finished_by_the_next(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile what remains verifies, and what should be gone is counted."""
    with monkeypatch.context() as patched:
        patched.setattr("app.store.streams.remove", _killed)
        with pytest.raises(KeyboardInterrupt):
            cut_at(trail)
    verdict = trail.verify()
    assert verdict.faults == []
    assert verdict.left_over >= 7
    cut_at(trail)
    verdict = trail.verify()
    assert (verdict.faults, verdict.left_over) == ([], 0)


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_a_second_cut_goes_on_from_the_first(trail: Trail) -> None:
    """The operators' stream keeps its last entry, whatever its date."""
    cut_at(trail)
    trail.append("a", refusal())
    trail.sign()
    cut_at(trail, NEW + 1)
    assert seqs(trail, "a") == []
    assert len(seqs(trail, "admin")) == 2
    assert trail.faults() == []
    trail.act("three")
    trail.append("a", refusal())
    assert trail.faults() == []


def test_a_server_that_runs_goes_on_signing_after_a_cut(trail: Trail) -> None:
    """Also one that another one always signed for: what it saw last, and what followed, is gone."""
    running = trail.signer()
    running.due(trail.now)
    for _ in range(3):
        trail.append("a", refusal())
        trail.sign()
    cut_at(trail, (trail.now - 30) * 1000)
    trail.append("a", refusal())
    made = running.write(trail.now + 60)
    assert made is not None
    assert made.streams["a"].seq == 12
    assert trail.faults() == []


def test_a_cut_does_not_cover_what_was_taken_with_it(trail: Trail) -> None:
    """A server that saw more of a stream than the cut knows of signs no more."""
    running = trail.signer()
    running.due(trail.now)
    with trail.db.begin() as conn:
        tampering.remove(conn, "a", 7, 8)
        conn.execute(delete(audit_checkpoints).where(audit_checkpoints.c.number == 3))
    cut_at(trail, (trail.now + 30) * 1000, anyway=True)
    with pytest.raises(TrailAltered):
        running.write(trail.now + 60)


def test_a_cut_that_nobody_signed_is_told(trail: Trail) -> None:
    """Entries removed from the beginning, or more than was signed."""
    cut_at(trail)
    with trail.db.begin() as conn:
        tampering.remove(conn, "a", 6, 6)
    assert trail.faults() == [("removed", "a", 6, 6)]


def test_a_cut_cannot_be_made_up(trail: Trail) -> None:
    """A checkpoint that only its column calls a cut is none."""
    with trail.db.begin() as conn:
        query = update(audit_checkpoints).where(audit_checkpoints.c.number == 1)
        conn.execute(query.values(kind="cut"))
        tampering.remove(conn, "a", 1, 2)
    found = {(what, writer) for what, writer, *_ in trail.faults()}
    assert ("relabelled", "(checkpoints)") in found
    assert ("removed", "a") in found


def test_a_checkpoint_kept_outside_from_before_still_compares(trail: Trail) -> None:
    """What it signed is cut, or is still here."""
    outside = trail.sign(kind="whole")
    trail.append("a", refusal())
    cut_at(trail)
    assert trail.faults(outside) == []
    with trail.db.begin() as conn:
        conn.execute(update(table).where(table.c.writer == "a", table.c.seq == 8).values(hash=b"x"))
    assert ("rewritten", "a", 8, 8) in trail.faults(outside)
