"""SQLite takes a value of any type in any column: what an audit reads there neither fells it nor fools it.

With real files, in the columns that others are counted and chained by. PostgreSQL refuses these
values by itself.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.admin.desk import at_desk
from app.keys.seal import SealingKey
from app.keys.sign_off import SignOff, TrailAltered
from app.store import audit, schema, streams
from app.store.engine import Database
from tests.kit.asgi import Stage, settings_for
from tests.kit.command import call, done

VALUES: dict[str, object] = {
    "text": "abc",
    "empty": "",
    "text with NUL": "a\0b",
    "octets": b"\xff\x00",
    "half": 1.5,
    "no number at all": float("inf"),
    "beyond": 2**63 - 1,
    "below": -5,
}
COLUMNS = ("writer", "seq", "at_ms", "prev", "hash", "body")


@pytest.fixture
def ended(home: Path) -> Path:
    """A home whose server issued a token for each value, and was operated as often; all signed."""
    with Stage(settings_for(home)) as stage:
        for number in range(len(VALUES) + 2):
            assert stage.token(stage.bot).status == 200
            done(home, "resource", "add", f"https://api{number}.example")
    done(home, "audit", "checkpoint")
    return home


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database of this release."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    schema.upgrade(url)
    db = Database(url)
    yield db
    db.dispose()


def spoil(home: Path, column: str, *, admin: bool) -> int:
    """Each value in this column of an entry of its own, the last entries of the stream; how many."""
    with contextlib.closing(sqlite3.connect(home / "certbound.db")) as db, db:
        which = "writer = 'admin'" if admin else "jti IS NOT NULL"
        found = db.execute(f"SELECT rowid FROM audit WHERE {which} ORDER BY seq DESC")  # noqa: S608 - ours
        # Without the date of the newest entry the database would be taken for an older copy.
        first = 1 if column == "at_ms" else 0
        rows = [row for (row,) in found][first : first + len(VALUES)]
        assert len(rows) == len(VALUES)
        for row, value in zip(rows, VALUES.values(), strict=True):
            db.execute(f"UPDATE audit SET {column} = ? WHERE rowid = ?", (value, row))  # noqa: S608 - ours
        return int(db.execute("SELECT count(*) FROM audit").fetchone()[0])


@pytest.mark.parametrize("admin", [False, True], ids=["journal", "admin"])
@pytest.mark.parametrize("column", COLUMNS)
def test_any_value_in_any_column(ended: Path, column: str, *, admin: bool) -> None:
    """Every command reads on, verify says that it is altered, and server and operators go on."""
    home = ended
    count = spoil(home, column, admin=admin)
    for words in (
        ("audit", "tail", "-n", "100"),
        ("audit", "search", "--client", "bot"),
        ("audit", "search", "--since", "2020-01-01T00:00:00Z", "--serial", "01"),
        ("audit", "incident", str(home / "certs" / "bot.crt")),
        ("audit", "export", "--format", "cef"),
        ("audit", "export", "--format", "ocsf"),
    ):
        outcome = call(home, *words)
        assert (outcome.code, "Traceback" in outcome.err) == (0, False), (words, outcome)
    assert len(call(home, "audit", "export").out.splitlines()) == count
    verdict = call(home, "audit", "verify")
    assert (verdict.code, verdict.err) == (1, "")
    assert "the audit is intact" not in verdict.out
    with Stage(settings_for(home)) as stage:
        assert stage.token(stage.bot).status == 200
        done(home, "resource", "add", "https://more.example")
    assert call(home, "audit", "verify").code == 1


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_number_that_is_none_is_named(ended: Path, value: object) -> None:
    """Verify tells the value that stands there; the signing process says that it is altered."""
    home = ended
    with contextlib.closing(sqlite3.connect(home / "certbound.db")) as db, db:
        last = "SELECT max(seq) FROM audit WHERE writer = 'admin'"
        db.execute(f"UPDATE audit SET seq = ? WHERE writer = 'admin' AND seq = ({last})", (value,))  # noqa: S608 - ours
    told = call(home, "audit", "verify").out
    spelled = value if isinstance(value, str) and value.isprintable() else repr(value)
    assert f"its number is {spelled}: none of ours" in told.replace("\\\\", "\\")
    settings = settings_for(home)
    with at_desk(settings) as desk:
        ours = SignOff(desk.db, SealingKey.load(settings), settings.issuer, "server")
        with pytest.raises(TrailAltered):
            ours.due(2_000_000_000)


@pytest.mark.parametrize("column", ["number", "at", "statement"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_any_value_in_a_checkpoint(ended: Path, column: str, value: object) -> None:
    """It is told as altered, and the server that starts on it signs nothing over it unseen."""
    home = ended
    with contextlib.closing(sqlite3.connect(home / "certbound.db")) as db, db:
        last = "SELECT max(number) FROM audit_checkpoints"
        db.execute(f"UPDATE audit_checkpoints SET {column} = ? WHERE number = ({last})", (value,))  # noqa: S608 - ours
    for _ in range(2):
        outcome = call(home, "audit", "verify")
        assert (outcome.code, outcome.err) == (1, "")
        with Stage(settings_for(home)) as stage:
            assert stage.token(stage.bot).status == 200


def test_all_of_a_misdated_export_is_there(on_file: Database) -> None:
    """Pages go on behind an entry whose date is none, however many there are."""
    with on_file.begin() as conn:
        chain = audit.Chain("w")
        entry = audit.Entry("e", "done", None, None, None, None, None, None, "{}")
        audit.append(conn, chain, [entry] * 7)
        conn.exec_driver_sql("UPDATE audit SET at_ms = 'soon'")
    seen: list[int] = []
    behind = None
    while True:
        with on_file.read() as conn:
            rows, behind = audit.following(conn, audit.EVERYTHING, behind, 2)
        seen += [row.seq for row in rows]
        if len(rows) < 2:
            break
    assert seen == list(range(1, 8))


def test_the_last_entry_is_found_past_numbers_that_are_none(on_file: Database) -> None:
    """A stream ends, and goes on, at the last number that is one."""
    with on_file.begin() as conn:
        entry = audit.Entry("e", "done", None, None, None, None, None, None, "{}")
        chain = audit.append(conn, audit.Chain("w"), [entry] * 100)
        conn.exec_driver_sql("UPDATE audit SET seq = 'x' || seq WHERE seq > 90")
        assert streams.heads(conn)["w"].seq == audit.resume(conn, "w").seq == 90
    assert chain.seq == 100
