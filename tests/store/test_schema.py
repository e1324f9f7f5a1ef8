"""Migrations and models are one schema, there and back, on both databases."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.store import registry, schema
from app.store.engine import Database
from app.store.migrating import migrating
from app.store.schema import SchemaMismatch, ensure_current
from app.store.tables import metadata

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
    """Empty, older or newer: refused, with the command or the advice that helps."""
    ensure_current(db)
    empty = Database(empty_url)
    with pytest.raises(SchemaMismatch, match="certbound db upgrade"):
        ensure_current(empty)
    empty.dispose()
    for revision, advice in (
        ("0000", "certbound db upgrade"),
        ("9999", "install the newer release"),
    ):
        with db.begin() as conn:
            conn.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
        with pytest.raises(SchemaMismatch, match=advice):
            ensure_current(db)


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
