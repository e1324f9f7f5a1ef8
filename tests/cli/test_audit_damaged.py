"""An entry that somebody damaged in the database hides itself, and nothing else of the audit."""

import json
from pathlib import Path

from sqlalchemy import update

from app.admin import incident
from app.cli import incident_note
from app.store import audit
from app.store.audit import Wanted
from app.store.tables import audit as table
from app.store.tables import audit_checkpoints
from app.store.told import UNREADABLE, told
from tests.kit.asgi import Stage
from tests.kit.command import call, done

DAMAGED = (
    "not json",
    "",
    "[1,2]",
    "[" * 100_000,
    '{"certificate":5,"details":3}',
    '{"certificate":{"thumbprint":7,"issuer":"x","serial":"1","not_after":"soon"}}',
    '{"certificate":{"thumbprint":"A","issuer":"x","serial":"1"},"jti":"j"}',
    '{"count":"many","first_at":1,"last_at":2}',
    '{"count":1}',
    '{"findings":[1],"event":"request.refused"}',
    '{"details":{"removed":[1],"value":[2]},"actor":"x"}',
)


def issued(stage: Stage) -> str:
    """A token's jti."""
    return str(stage.claims(stage.token(stage.bot))["jti"])


def looked(home: Path, *jtis: str) -> list[str]:
    """Every command that reads entries, none of which may fail; the lines of the export."""
    for words in (
        ("audit", "tail", "-n", "100"),
        ("audit", "search", "--serial", "01"),
        *(("audit", "incident", jti) for jti in jtis),
        ("audit", "incident", str(home / "certs" / "bot.crt")),
        ("client", "list"),
        ("audit", "export", "--format", "cef"),
        ("audit", "export", "--format", "ocsf"),
    ):
        outcome = call(home, *words)
        assert (outcome.code, "Traceback" in outcome.err) == (0, False), words
    return call(home, "audit", "export").out.splitlines()


def test_damaged_bodies(stage: Stage, home: Path) -> None:
    """Searches, notes and exports go on, the text as it is kept, and verify says where it is."""
    jtis = [issued(stage) for _ in DAMAGED]
    with stage.house.database.begin() as conn:
        for jti, body in zip(jtis, DAMAGED, strict=True):
            conn.execute(update(table).where(table.c.jti == jti).values(body=body))
    bodies = [json.loads(line)["body"] for line in looked(home, *jtis)]
    for jti, body in zip(jtis, DAMAGED, strict=True):
        assert told(body) in bodies
        (entry,) = done(home, "audit", "search", "--jti", jti)["entries"]
        assert entry["body"] == told(body)
    assert sum(UNREADABLE in told(body) for body in DAMAGED) == 8
    assert "damaged: certbound audit verify" in call(home, "audit", "tail", "-n", "100").out
    outcome = call(home, "audit", "verify")
    assert outcome.code == 1
    assert "edited: its body, time or hash is not what was written" in outcome.out


def test_columns_of_another_type(stage: Stage, home: Path) -> None:
    """SQLite stores anything anywhere: that is shown as text, and told as an edit."""
    for column, value in (
        ("body", b"\xff\x00"),
        ("at_ms", "soon"),
        ("hash", "x"),
        ("client_id", b"\x1b"),
    ):
        jti = issued(stage)
        with stage.house.database.begin() as conn:
            conn.exec_driver_sql(f"UPDATE audit SET {column} = ? WHERE jti = ?", (value, jti))  # noqa: S608 - ours
    assert looked(home)
    assert call(home, "audit", "verify").code == 1


def test_a_checkpoint_of_another_type(stage: Stage, home: Path) -> None:
    """It is told as edited, not fallen over."""
    done(home, "audit", "checkpoint")
    with stage.house.database.begin() as conn:
        newest = conn.execute(audit_checkpoints.select()).all()[-1].number
        conn.exec_driver_sql(
            "UPDATE audit_checkpoints SET statement = ? WHERE number = ?", (b"\x00", newest)
        )
    outcome = call(home, "audit", "verify")
    assert outcome.code == 1
    assert (
        f"✘ (checkpoints) {newest} edited: the statement is not a signed statement" in outcome.out
    )


def test_what_we_write_is_readable(stage: Stage) -> None:
    """Every entry of a server that was asked this and that has the types that are expected."""
    jti = issued(stage)
    stage.token(None, client_id="nobody")
    stage.token(stage.bot, scope="none")
    with stage.house.database.read() as conn:
        rows = audit.search(conn, Wanted(), count=1000)
    assert all(UNREADABLE not in told(row.body) for row in rows)
    assert incident_note.sections(incident.of(stage.desk, jti))
