"""Whatever somebody with the database changes in the audit, verifying says what and where."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.admin.audit_cut import cut
from app.admin.audit_verify import CHECKPOINTS, verify
from app.jose.jwt import Signer
from app.keys import checkpoint as checkpoints_of
from app.keys.checkpoint import Checkpoint
from app.keys.rotate import make_key, rotate
from app.keys.seal import make_sealing_key
from app.keys.sign_off import TrailAltered
from app.store import audit, checkpoints, signing_keys
from app.store.audit import Chain
from app.store.engine import Database
from app.store.tables import audit_checkpoints
from app.store.tables import signing_keys as signing_keys_table
from tests.kit import tampering
from tests.kit.tampering import stream
from tests.kit.trail import Trail, grown, laid, refusal

Where = list[tuple[str, str, int, int]]


@pytest.fixture
def trail(db: Database, tmp_path: Path) -> Trail:
    """Stream a: 12 entries, 10 of them signed; b: 4; admin: 5 of keys and checkpoints, then 2."""
    return grown(db, tmp_path)


def test_an_honest_trail_is_intact(trail: Trail) -> None:
    """Nothing found, everything read, and what no checkpoint covers yet is counted."""
    verdict = trail.verify()
    assert verdict.faults == []
    assert (verdict.streams, verdict.checkpoints, verdict.unsigned) == (3, 3, 2)
    assert verdict.entries == 12 + 4 + len(_admin(trail))
    assert verdict.signed_at == trail.now


def _admin(trail: Trail) -> list[str]:
    with trail.db.read() as conn:
        return [row.event for row in stream(conn, "admin")]


def _edit_body(conn: Connection) -> None:
    body = stream(conn, "a")[2].body
    tampering.edit(conn, "a", 3, body=body.replace("client-2", "client-9"))


def _hide(conn: Connection) -> None:
    tampering.edit(conn, "a", 3, client_id="somebody")


def _date(conn: Connection) -> None:
    tampering.edit(conn, "a", 3, at_ms=1)


def _remove_inside(conn: Connection) -> None:
    tampering.remove(conn, "a", 3, 4)


def _close_the_gap(conn: Connection) -> None:
    tampering.remove(conn, "a", 3, 4)
    tampering.renumber(conn, "a", 5, -2)


def _swap(conn: Connection) -> None:
    tampering.swap(conn, "a", 3, 4)


def _put_in(conn: Connection) -> None:
    tampering.renumber(conn, "a", 4, 1)
    before = stream(conn, "a")[2]
    at, body = before.at_ms, before.body
    forged = audit.link(before.hash, "a", 4, at, body)
    tampering.copy_in(conn, before, seq=4, prev=before.hash, hash=forged, ref="23456789abcdefgh")


def _cut_tail(conn: Connection) -> None:
    tampering.remove(conn, "a", 9, 12)


def _cut_unsigned_and_more(conn: Connection) -> None:
    tampering.remove(conn, "a", 10, 12)


def _remove_stream(conn: Connection) -> None:
    tampering.remove(conn, "b", 1, 4)


def _remove_beginning(conn: Connection) -> None:
    tampering.remove(conn, "a", 1, 2)


def _rewrite(conn: Connection) -> None:
    tampering.rewrite(conn, "a", lambda row: row.body.replace("client-2", "client-9"))


SIGNED_HEADS_OF_A = [("rewritten", "a", 5, 5), ("rewritten", "a", 10, 10)]


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_edit_body, [("edited", "a", 3, 3)]),
        (_date, [("edited", "a", 3, 3)]),
        (_hide, [("relabelled", "a", 3, 3)]),
        (_remove_inside, [("removed", "a", 3, 4)]),
        (_remove_beginning, [("removed", "a", 1, 2)]),
        (_cut_tail, [("cut_off", "a", 9, 10)]),
        (_cut_unsigned_and_more, [("cut_off", "a", 10, 10)]),
        (_remove_stream, [("cut_off", "b", 1, 4)]),
    ],
)
def test_what_was_done_is_told(
    trail: Trail, tamper: Callable[[Connection], None], found: Where
) -> None:
    """Exactly that, and nothing else."""
    with trail.db.begin() as conn:
        tamper(conn)
    assert trail.faults() == found


def test_entries_that_change_places_are_told(trail: Trail) -> None:
    """Each as written under the other's number."""
    with trail.db.begin() as conn:
        _swap(conn)
    assert trail.faults() == [("renumbered", "a", 3, 3), ("renumbered", "a", 4, 4)]


def test_a_gap_that_was_closed_is_told(trail: Trail) -> None:
    """Those behind it carry numbers that are not theirs; signed places hold other entries."""
    with trail.db.begin() as conn:
        _close_the_gap(conn)
    assert trail.faults() == [
        *SIGNED_HEADS_OF_A,
        ("renumbered", "a", 3, 10),
    ]


def test_an_entry_put_in_is_told(trail: Trail) -> None:
    """Its columns give it away, and those behind it were moved."""
    with trail.db.begin() as conn:
        _put_in(conn)
    assert trail.faults() == [
        *SIGNED_HEADS_OF_A,
        ("relabelled", "a", 4, 4),
        ("renumbered", "a", 5, 13),
    ]


def test_a_stream_written_anew_with_fitting_hashes_is_told(trail: Trail) -> None:
    """By every checkpoint that signed a place in it."""
    with trail.db.begin() as conn:
        _rewrite(conn)
    found = trail.faults()
    assert found[:2] == SIGNED_HEADS_OF_A
    assert {what for what, *_ in found[2:]} <= {"relabelled"}


def test_no_checkpoint_is_signed_over_what_was_altered(trail: Trail) -> None:
    """Neither by a process that just starts nor by one that knew it before."""
    known = trail.signer()
    assert known.write(trail.now + 1) is not None
    with trail.db.begin() as conn:
        tampering.rewrite(conn, "a", lambda row: row.body.replace("client-2", "client-9"))
    for signer in (known, trail.signer()):
        with pytest.raises(TrailAltered, match="stream a"):
            signer.write(trail.now + 100)


def test_checkpoints_that_were_removed_are_told(trail: Trail) -> None:
    """Inside and before; at the end only one kept outside shows it, and a process that knew it."""
    known, outside = trail.signer(), trail.sign(kind="whole")
    known.write(trail.now + 1)
    _forget(trail, 2)
    assert trail.faults() == [("unchained", CHECKPOINTS, 3, 3)]
    _forget(trail, 1)
    assert trail.faults() == [("removed", CHECKPOINTS, 1, 2)]
    _forget(trail, 4)
    assert trail.faults(outside)[-1] == ("cut_off", CHECKPOINTS, 4, 4)
    with pytest.raises(TrailAltered, match="checkpoint 4"):
        known.write(trail.now + 2)


def _forget(trail: Trail, number: int) -> None:
    with trail.db.begin() as conn:
        conn.execute(delete(audit_checkpoints).where(audit_checkpoints.c.number == number))


def test_an_emptied_table_of_checkpoints_is_told(trail: Trail) -> None:
    """At once; and after a server began anew, the trail says that it was done twice."""
    known = trail.signer()
    known.write(trail.now + 1)
    with trail.db.begin() as conn:
        conn.execute(delete(audit_checkpoints))
    assert trail.faults() == [("signature", CHECKPOINTS, 1, 1)]
    with pytest.raises(TrailAltered, match="removed"):
        known.write(trail.now + 2)
    trail.sign()
    assert trail.faults() == [("removed", CHECKPOINTS, 1, 1)]


def test_an_edited_checkpoint_is_told(trail: Trail) -> None:
    """Its statement no longer holds, or its columns are not its own."""
    with trail.db.begin() as conn:
        row = checkpoints.find(conn, 2)
        assert row is not None
        head, _, signature = row.statement.rpartition(".")
        broken = f"{head[:-1]}{'A' if head[-1] != 'A' else 'B'}.{signature}"
        query = update(audit_checkpoints).where(audit_checkpoints.c.number == 2)
        conn.execute(query.values(statement=broken))
    assert ("edited", CHECKPOINTS, 2, 2) in trail.faults()
    with trail.db.begin() as conn:
        conn.execute(query.values(statement=row.statement, at=1))
    assert trail.faults() == [("relabelled", CHECKPOINTS, 2, 2)]


def _forged(trail: Trail, *, put_key: bool) -> None:
    """All checkpoints signed anew over an edited stream, with a key of the forger's own."""
    forged = make_key("ES256")
    elsewhere = make_sealing_key(trail.desk.settings.home / "forger.key")
    row = forged.row(elsewhere, trail.now)
    with trail.db.begin() as conn:
        _rewrite(conn)
        if put_key:
            values = {**{c.name: getattr(row, c.name) for c in signing_keys_table.columns}}
            conn.execute(insert(signing_keys_table).values(**values | {"state": "retired"}))
        signer = Signer(forged.kid, "ES256", forged.private)
        previous = None
        for stored in checkpoints.after(conn, 0, 10):
            told = checkpoints_of.read(stored.statement)
            heads = {
                writer: type(head)(head.seq, _hash(conn, writer, head.seq))
                for writer, head in told.streams.items()
            }
            draft = Checkpoint(
                issuer=told.issuer,
                number=told.number,
                at=told.at,
                kind=told.kind,
                previous=previous,
                streams=heads,
                first=told.first,
            )
            made = checkpoints_of.sign(draft, [row], signer)
            previous = checkpoints_of.digest_of(made.statement)
            query = update(audit_checkpoints).where(audit_checkpoints.c.number == told.number)
            conn.execute(query.values(statement=made.statement))


def _hash(conn: Connection, writer: str, seq: int) -> bytes:
    return stream(conn, writer)[seq - 1].hash


@pytest.mark.parametrize("put_key", [False, True])
def test_checkpoints_signed_anew_without_the_sealing_key_are_told(
    trail: Trail, *, put_key: bool
) -> None:
    """Also where the forger's key lies among the signing keys: it is not sealed by ours."""
    outside = trail.sign(kind="whole")
    _forged(trail, put_key=put_key)
    assert trail.faults()[0] == ("signature", CHECKPOINTS, 4, 4)
    assert ("rewritten", CHECKPOINTS, 4, 4) in trail.faults(outside)
    with pytest.raises(TrailAltered, match="not ours"):
        trail.signer().write(trail.now + 100)


def test_a_database_put_back_is_told_by_a_checkpoint_kept_outside(trail: Trail) -> None:
    """By itself the earlier state is intact."""
    with trail.db.read() as conn:
        kept = len(stream(conn, "a"))
    trail.append("a", refusal())
    outside = trail.sign(kind="whole")
    with trail.db.begin() as conn:
        tampering.remove(conn, "a", kept + 1, kept + 1)
        conn.execute(delete(audit_checkpoints).where(audit_checkpoints.c.number == 4))
    assert trail.faults() == []
    assert trail.faults(outside) == [
        ("cut_off", CHECKPOINTS, 4, 4),
        ("cut_off", "a", kept + 1, kept + 1),
    ]


def test_checkpoints_hold_across_rotations(trail: Trail) -> None:
    """Each was signed by the key of its time, long forgotten keys too; one kept outside still fits."""
    outside = trail.sign(kind="whole")
    for _ in range(3):
        rotate(
            trail.db, trail.sealing_key, "ES256", trail.now, token_lifetime=1, actor="x", force=True
        )
        trail.sign()
        with trail.db.begin() as conn:
            signing_keys.remove_expired(conn, trail.now + 10**7)
    assert trail.faults() == []
    assert trail.faults(outside) == []
    trail.desk.settings.sealing_key_file.unlink()
    assert trail.faults(outside) == []
    assert trail.faults() == [("signature", CHECKPOINTS, 7, 7)]


def test_many_processes_sign_one_chain(trail: Trail) -> None:
    """Taking turns, each goes on from what the others wrote."""
    signers = [trail.signer() for _ in range(3)]
    for number in range(9):
        trail.append("b", refusal())
        assert signers[number % 3].write(trail.now + number) is not None
        assert signers[number % 2].write(trail.now + number) is None
    verdict = trail.verify()
    assert (verdict.faults, verdict.checkpoints) == ([], 12)


def test_nothing_is_signed_where_nothing_moved(db: Database, tmp_path: Path) -> None:
    """Nor within a minute of the one before."""
    trail = laid(db, tmp_path)
    signer = trail.signer()
    first = signer.due(trail.now)
    assert first is not None
    assert (first.kind, first.number) == ("whole", 1)
    assert signer.due(trail.now + 120) is None
    trail.append("a", refusal())
    assert signer.due(trail.now + 40) is None
    second = signer.due(trail.now + 120)
    assert second is not None
    assert set(second.streams) == {"a"}
    assert trail.verify().unsigned == 0


def test_a_stream_without_its_beginning_is_told(trail: Trail) -> None:
    """Somebody who puts a stream in from elsewhere has to begin at 1."""
    with trail.db.begin() as conn:
        audit.append(conn, Chain("late", 7, bytes(32)), [audit.entry(refusal())])
    assert trail.faults() == [("removed", "late", 1, 7)]


def test_how_far_it_has_come_is_told(trail: Trail) -> None:
    """Entries read, of all there are."""
    told: list[tuple[int, int]] = []
    verdict = verify(trail.desk, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (verdict.entries, verdict.entries)
    with trail.db.read() as conn:
        assert conn.execute(select(audit_checkpoints.c.number)).scalars().all() == [1, 2, 3]


def test_processes_at_once_sign_one_chain(trail: Trail) -> None:
    """While four sign and append at once and somebody cuts, nothing is taken for an alteration."""
    failures: list[Exception] = []

    def process(name: str) -> None:
        chain, signer = Chain(name), trail.signer()
        try:
            for number in range(10):
                with trail.db.begin() as conn:
                    chain = audit.append(conn, chain, [audit.entry(refusal())])
                signer.write(trail.now + number)
        except (TrailAltered, SQLAlchemyError) as error:
            failures.append(error)

    threads = [threading.Thread(target=process, args=(f"p{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    before_ms = clock.now_ms() + 1
    cut(trail.desk, before_ms, export=None, without_export=True, anyway=False)
    for thread in threads:
        thread.join()
    assert failures == []
    assert trail.faults() == []
    with trail.db.read() as conn:
        assert stream(conn, "a") == []
