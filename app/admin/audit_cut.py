"""Retention: older entries are removed, and a signed checkpoint says where each stream begins now.

Guarantees that what remains verifies as before; that nothing is removed before the cut is signed
and recorded; and that a cut which was interrupted is finished by the next. The last entry of the
operators' stream always remains: the next one follows from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.admin import audit_export
from app.admin.audit_checkpoints import altered, sign_off_of
from app.admin.audit_spelling import jsonl
from app.admin.audit_verify import verify
from app.admin.desk import Desk
from app.admin.keys import unsealed
from app.admin.problem import Problem
from app.audit import AuditCut
from app.keys import checkpoint as checkpoints_of
from app.keys.seal import SealingError
from app.keys.sign_off import TrailAltered
from app.store import checkpoints, streams
from app.store.audit import ADMIN, Wanted
from app.store.streams import Head

_PAGE = 5000
_BATCH = 1000
"""Entries per transaction that removes: some 10 ms of the one write lock SQLite has."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What was removed."""

    entries: int
    checkpoints: int
    number: int | None
    """Of the checkpoint that signs it; None: there was nothing to cut."""
    exported: int | None
    """Entries written into the file; None: into none."""


def cut(
    desk: Desk, before_ms: int, *, export: Path | None, without_export: bool, anyway: bool
) -> Cut:
    """Remove all entries that are older, stream by stream, up to the first that is not.

    Raises:
        Problem: the audit is not intact (and not `anyway`), or neither a file to export to is given
            nor `without_export`.

    """
    if not anyway:
        _require_intact(desk)
    begins = dict(_begins(desk, before_ms))
    count = sum(then.seq - now.seq for then, now in begins.values())
    if not begins and not (count := _finish(desk)):
        return Cut(0, 0, None, None)
    if not begins:
        return Cut(count, 0, _newest_cut(desk), None)
    if export is None and not without_export:
        raise Problem(
            "entries would be gone for good",
            seen=f"{count} entries from before {clock.iso(before_ms // 1000)}",
            expected="that they are kept elsewhere first, or wanted nowhere",
            action="Add --export FILE, or --yes to remove them without.",
        )
    exported = _export(desk, before_ms, export)
    number = _signed(
        desk, before_ms, {writer: then for writer, (then, _) in begins.items()}, count, export
    )
    gone = _finish(desk)
    return Cut(gone, _forget_checkpoints(desk), number, exported)


def _require_intact(desk: Desk) -> None:
    verdict = verify(desk)
    if verdict.faults:
        raise Problem(
            "the audit is not intact, and a cut would remove what shows it",
            seen=f"{len(verdict.faults)} problems",
            expected="an audit that verifies",
            action="certbound audit verify",
        )


def _begins(desk: Desk, before_ms: int) -> Iterator[tuple[str, tuple[Head, Head]]]:
    """Each stream that will begin later than it does: where then, and where now."""
    with desk.db.read() as conn:
        heads = streams.heads(conn)
    known = _known_begins(desk)
    for writer, head in heads.items():
        now_begin = known.get(writer, Head(1, bytes(32)))
        first = _first_kept(desk, writer, before_ms, now_begin.seq - 1, head.seq)
        if writer == ADMIN:
            first = min(first, head.seq)
        if first <= now_begin.seq:
            continue
        with desk.db.read() as conn:
            before = streams.hashes(conn, [(writer, first - 1)])[writer, first - 1]
        yield writer, (Head(first, before), now_begin)


def _first_kept(desk: Desk, writer: str, before_ms: int, after: int, last: int) -> int:
    while after < last:
        with desk.db.read() as conn:
            found = streams.first_kept(conn, writer, before_ms, after, _PAGE)
        if found is not None:
            return found
        after += _PAGE
    return last + 1


def _known_begins(desk: Desk) -> dict[str, Head]:
    with desk.db.read() as conn:
        row = checkpoints.newest(conn, ("cut",))
    return dict(checkpoints_of.read(row.statement).begins) if row is not None else {}


def _newest_cut(desk: Desk) -> int:
    with desk.db.read() as conn:
        row = checkpoints.newest(conn, ("cut",))
    return row.number if row is not None else 0


def _export(desk: Desk, before_ms: int, path: Path | None) -> int | None:
    if path is None:
        return None
    return audit_export.write_file(desk, Wanted(until_ms=before_ms), jsonl, path).entries


def _signed(
    desk: Desk, before_ms: int, begins: dict[str, Head], count: int, export: Path | None
) -> int:
    details = {
        "before": clock.iso(before_ms // 1000),
        "entries": count,
        "streams": len(begins),
        "exported_to": str(export) if export is not None else None,
    }
    act = AuditCut(actor=desk.actor, details={k: v for k, v in details.items() if v is not None})
    try:
        sign_off = sign_off_of(desk)
        while True:
            made = sign_off.cut(clock.now(), begins, before_ms=before_ms, act=act)
            if made is not None:
                return made.number
    except TrailAltered as error:
        raise altered(error) from error
    except SealingError as error:
        raise unsealed(error, desk.settings) from error


def _finish(desk: Desk) -> int:
    """Remove what the last cut has given up; how many entries."""
    gone = 0
    for writer, begin in _known_begins(desk).items():
        while True:
            with desk.db.begin() as conn:
                removed = streams.remove(conn, writer, begin.seq, _BATCH)
            gone += removed
            if removed < _BATCH:
                break
    return gone


def _forget_checkpoints(desk: Desk) -> int:
    with desk.db.read() as conn:
        row = checkpoints.newest(conn, ("cut",))
    first = checkpoints_of.read(row.statement).first if row is not None else None
    with desk.db.begin() as conn:
        return checkpoints.forget_before(conn, first or 1)
