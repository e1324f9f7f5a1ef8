"""Migrations and models are one schema, there and back, on both databases."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.store import registry, schema
from app.store.engine import Database, StoreUnavailable
from app.store.migrating import migrating
from app.store.schema import SchemaMismatch, ensure_served
from app.store.tables import metadata
from tests.store.decisions import view

ROOT = Path(__file__).parents[2]


def shape(conn: Connection) -> list[tuple[str, ...]]:
    """Every table, index, check and default in the database's own words, migrations' own aside."""
    if conn.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'"
    else:
        query = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " UNION ALL SELECT table_name || '.' || column_name,"
            "  concat_ws(' ', data_type, is_nullable, column_default)"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
    rows = [tuple(map(str, row)) for row in conn.exec_driver_sql(query)]
    return sorted((name, *_parts(text)) for name, text in rows if "alembic" not in name)


def _parts(definition: str) -> list[str]:
    """What stands between its commas, sorted: the order of columns and constraints says nothing.

    An altered SQLite table has its newer columns behind the constraints, and its name in quotes.
    """
    flat = re.sub(r"\s+", " ", definition.replace('"', "").replace("ON (", "ON("))
    flat = flat.replace(" (", " ( ", 1).removesuffix(")").strip()
    head, _, body = flat.partition("( ")
    return [head, *sorted(part.strip() for part in re.split(r",(?![^(]*\))", body))]


def test_the_newest_migration_is_the_one_named() -> None:
    """`HEAD` spares a server's start the reading of the folder; here it is kept honest."""
    scripts = ScriptDirectory.from_config(schema.alembic_config("sqlite:////nowhere"))
    assert scripts.get_heads() == [schema.HEAD]


def test_models_equal_the_migrated_schema(db: Database) -> None:
    """Alembic finds nothing to add or to remove."""
    with db.read() as conn:
        context = MigrationContext.configure(conn)
        assert compare_metadata(context, metadata) == []


def test_models_equal_the_migrated_schema_to_the_letter(db: Database, empty_url: str) -> None:
    """Index conditions and checks too, which Alembic does not compare."""
    made = Database(empty_url)
    with made.begin() as conn:
        metadata.create_all(conn)
        from_models = shape(conn)
    with db.read() as conn:
        assert shape(conn) == from_models
    assert len(from_models) > 15
    made.dispose()


def test_the_way_back_leaves_nothing(empty_url: str) -> None:
    """Up, down, and up again."""
    schema.upgrade(empty_url)
    schema.downgrade(empty_url, "base")
    db = Database(empty_url)
    with db.read() as conn:
        assert set(inspect(conn).get_table_names()) <= {"alembic_version"}
    assert schema.status(empty_url) == (None, schema.HEAD)
    schema.upgrade(empty_url)
    schema.upgrade(empty_url)
    assert schema.status(empty_url) == (schema.HEAD, schema.HEAD)
    with db.read() as conn:
        assert registry.version(conn) == 1
    db.dispose()


def test_a_failing_migration_keeps_nothing(empty_url: str) -> None:
    """One transaction: what it had made is gone, and the next try starts clean."""

    def half_way() -> None:
        with migrating(empty_url) as conn:
            metadata.create_all(conn)
            raise LookupError

    with pytest.raises(LookupError):
        half_way()
    schema.upgrade(empty_url)
    assert schema.status(empty_url) == (schema.HEAD, schema.HEAD)


def test_dangling_rows_stop_a_migration(sqlite_url: str) -> None:
    """SQLite's foreign keys are off while tables are remade, and looked at before the commit."""

    def orphan() -> None:
        with migrating(sqlite_url) as conn:
            conn.exec_driver_sql("INSERT INTO trust_anchors VALUES ('x','t','d','anchor','s',1,1)")

    with pytest.raises(ValueError, match="foreign keys"):
        orphan()


def test_four_upgrades_at_once_are_one(empty_url: str) -> None:
    """Nodes that start together: one migrates, the others find it done."""
    code = "import sys; from app.store import schema; schema.upgrade(sys.argv[1])"
    command = [sys.executable, "-W", "error", "-c", code, empty_url]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert schema.status(empty_url) == (schema.HEAD, schema.HEAD)


def test_serving_needs_the_very_schema(db: Database, empty_url: str) -> None:
    """Empty, older, or newer without a word of this one: refused, with what helps."""
    ensure_served(db)
    empty = Database(empty_url)
    with pytest.raises(SchemaMismatch, match="certbound db upgrade"):
        ensure_served(empty)
    empty.dispose()
    for revision, advice in (
        ("0000", "certbound db upgrade"),
        ("9999", "install the newer release"),
    ):
        with db.begin() as conn:
            conn.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
        with pytest.raises(SchemaMismatch, match=advice):
            ensure_served(db)


def _moved(conn: Connection, to: str, told: str, oldest: str) -> None:
    """The database as a later migration leaves it."""
    conn.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": to})
    row = {"told": told, "oldest": oldest}
    conn.execute(text("UPDATE registry SET migrated_to = :told, oldest = :oldest"), row)


@pytest.mark.parametrize(
    ("told", "oldest", "is_served"),
    [
        ("9999", schema.HEAD, True),
        ("9999", "0001", True),
        ("9999", "9998", False),
        ("9999", "", False),
        ("9998", schema.HEAD, False),
    ],
)
def test_a_newer_schema_serves_whom_it_names(
    db: Database, told: str, oldest: str, *, is_served: bool
) -> None:
    """It must name a release as old as this one, and be the schema that those words are about."""
    with db.begin() as conn:
        _moved(conn, "9999", told, oldest)
    with db.read() as conn:
        assert schema.is_served(conn) == is_served


def test_a_migration_makes_running_servers_look(empty_url: str) -> None:
    """Each step raises the registry's version, and says whom it serves; a fresh database is at 1."""
    schema.upgrade(empty_url, "0005")
    db = Database(empty_url)
    with db.read() as conn:
        before = registry.version(conn)
    schema.upgrade(empty_url)
    with db.read() as conn:
        assert registry.version(conn) == before + int(schema.HEAD) - 5
        row = conn.execute(text("SELECT migrated_to, oldest FROM registry")).one()
    assert tuple(row) == (schema.HEAD, _oldest()[schema.HEAD])
    schema.downgrade(empty_url, "0005")
    with db.read() as conn:
        assert registry.version(conn) == before + 2 * (int(schema.HEAD) - 5)
    db.dispose()


def test_no_decision_is_taken_on_a_schema_that_ceased_to_serve(db: Database) -> None:
    """A server finds out before it decides anything, and goes on when the schema is back."""
    snapshots = registry.Snapshots(db, view)
    for to, what in (("9999", pytest.raises(StoreUnavailable)), (schema.HEAD, nullcontext())):
        with registry.change(db) as conn:
            _moved(conn, to, to, to)
        with what:
            assert snapshots.refresh()


def test_migrations_say_whom_they_serve() -> None:
    """From 0006 on each names the oldest release that goes on: itself or before, never going back."""
    said = _oldest()
    assert set(said) == {f"{n:04}" for n in range(6, int(schema.HEAD) + 1)}
    assert all("0006" <= oldest <= revision for revision, oldest in said.items())
    assert [said[revision] for revision in sorted(said)] == sorted(said.values())


def _oldest() -> dict[str, str]:
    """What each migration says, by revision."""
    scripts = ScriptDirectory.from_config(schema.alembic_config("sqlite:////nowhere"))
    return {
        script.revision: script.module.oldest
        for script in scripts.walk_revisions()
        if hasattr(script.module, "oldest")
    }


def test_serving_does_not_import_alembic() -> None:
    """A tenth of a second and some memory that only operators' commands should pay."""
    code = "import sys, app.store.journal, app.store.schema; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_developers_run_alembic_itself(empty_url: str) -> None:
    """Settings come from pyproject.toml, the database from the environment."""
    environment = {**os.environ, "CERTBOUND_DATABASE_URL": empty_url}
    for arguments in (["upgrade", "head"], ["check"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
    assert schema.status(empty_url) == (schema.HEAD, schema.HEAD)
