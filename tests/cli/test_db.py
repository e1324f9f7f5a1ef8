"""``certbound db``: what an upgrade would do, copies in use, and an older copy put in place."""

import contextlib
import json
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect, make_url

from app.admin import seen
from app.admin.desk import at_desk
from app.store import audit, schema, tokens
from app.store.engine import Database
from tests.kit import tokens as kit
from tests.kit.asgi import settings_for
from tests.kit.command import call, done, refused
from tests.kit.crew import eventually
from tests.kit.postgres import PostgresServer
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady

PASSWORD = "not-to-be-seen"  # noqa: S105 - a canary


def tables(url: str) -> set[str]:
    """What is there."""
    db = Database(url)
    with db.read() as conn:
        found = set(inspect(conn).get_table_names())
    db.dispose()
    return found


def test_a_plan_says_all_and_does_nothing(empty_url: str, tmp_path: Path) -> None:
    """Step by step the SQL of the upgrade, from any schema on; then the upgrade does just that."""
    environment = {"CERTBOUND_DATABASE_URL": empty_url}
    schema.upgrade(empty_url, "0002")
    before = tables(empty_url)
    planned = json.loads(
        call(tmp_path, "db", "upgrade", "--plan", "--json", environment=environment).out
    )
    assert tables(empty_url) == before
    assert schema.status(empty_url)[0] == "0002"
    assert (planned["from"], planned["to"]) == ("0002", schema.HEAD)
    revisions = [step["schema"] for step in planned["steps"]]
    assert revisions == [f"{number:04}" for number in range(3, int(schema.HEAD) + 1)]
    sql = [line for step in planned["steps"] for line in step["sql"]]
    assert any("CREATE TABLE status_lists" in line for line in sql)
    lines = call(tmp_path, "db", "upgrade", "--plan", environment=environment).out
    assert "CREATE TABLE status_lists" in lines
    assert call(tmp_path, "db", "upgrade", environment=environment).code == 0
    made = {line.split()[2].strip('"') for line in sql if line.startswith("CREATE TABLE")}
    kept = {name for name in made if not name.startswith("_alembic_tmp")}
    assert kept <= tables(empty_url)
    nothing = call(tmp_path, "db", "upgrade", "--plan", environment=environment).out
    assert "nothing to do" in nothing


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on SQLite."""
    with running(tmp_path_factory.mktemp("home")) as started:
        yield started


def test_a_copy_of_a_database_in_use(server: Running, tmp_path: Path) -> None:
    """Whole, private, one file, as of one moment; nothing is overwritten."""
    target = tmp_path / "copy.db"
    load = Steady([server])
    with load.running():
        received = list(load.received)
        made = done(server.home, "db", "backup", str(target))
        load.wait(20)
    assert made["bytes"] == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["copy.db"]
    copy = sqlite3.connect(target)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert_recorded(f"sqlite:///{target}", received)
    before = target.read_bytes()
    told = refused(server.home, "db", "backup", str(target), code=3)
    assert "overwritten" in told["seen"]
    assert target.read_bytes() == before
    refused(server.home, "db", "backup", str(tmp_path / "none" / "copy.db"), code=3)


def test_postgresql_has_its_own_tools(postgres: PostgresServer, tmp_path: Path) -> None:
    """Nothing is copied; the command is told, without the password; the exit code says so."""
    plain = make_url(postgres.url(postgres.create_database()))
    url = plain.set(password=PASSWORD).update_query_dict({"certbound_locks": "rows"})
    environment = {"CERTBOUND_DATABASE_URL": url.render_as_string(hide_password=False)}
    schema.upgrade(environment["CERTBOUND_DATABASE_URL"])
    told = call(tmp_path, "db", "backup", "x.dump", "--json", environment=environment)
    assert told.code == 3
    assert PASSWORD not in told.out + told.err
    program, *words = shlex.split(told.error["do_this"])
    assert (program, words[:2]) == ("pg_dump", ["--format=custom", "--file=x.dump"])
    assert make_url(words[2]) == plain.set(drivername="postgresql")
    assert not (tmp_path / "x.dump").exists()


def test_an_older_copy_is_noticed_and_forgets_nothing(tmp_path: Path) -> None:
    """No server starts on it; once it is taken as it is, nothing issued before counts any more."""
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    home.mkdir()
    certbound(home, "quickstart")
    with running(home, quickstart=False) as server:
        old = kit.issued(kit.ask_as(server, "bot"))
        certbound(home, "db", "backup", str(copy), environment=server.environment)
        late = kit.issued(kit.ask_as(server, "bot"))
        certbound(
            home, "revoke", "cert", str(server.file("bot.crt")), environment=server.environment
        )
        assert kit.ask_as(server, "bot").status_code == 401
    for ending in ("-wal", "-shm"):
        (home / f"certbound.db{ending}").unlink(missing_ok=True)
    shutil.copy(copy, home / "certbound.db")

    told = refused(home, "serve", "--port", "0", "--mtls-port", "0", code=3)
    assert "older than what this home has seen" in told["message"]
    assert "db restored" in told["do_this"]
    assert refused(home, "serve", "--port", "0", "--mtls-port", "0", code=3) == told

    checked = call(home, "config", "check")
    assert checked.code == 1
    assert "✘ database: registry version" in checked.out
    assert "certbound db restored" in checked.out

    taken = done(home, "db", "restored")
    assert (taken["tokens_revoked"], taken["signing_keys_replaced"]) == (1, 2)
    refused(home, "db", "restored")
    assert done(home, "audit", "verify")["intact"], "though the keys that signed it are gone"
    with running(home, quickstart=False) as server:
        with server.desk() as desk, desk.db.read() as conn:
            row = tokens.find(conn, kit.read(old)["jti"])
            assert row is not None
            assert row.revoked_at is not None
            assert "database.restored" in {entry.event for entry in audit.search(conn)}
        with server.client(None) as http:
            kids = {key["kid"] for key in http.get(f"{server.issuer}/jwks").json()["keys"]}
        assert kids.isdisjoint({kit.header(old)["kid"], kit.header(late)["kid"]})
        certbound(
            home, "revoke", "cert", str(server.file("bot.crt")), environment=server.environment
        )
        assert kit.ask_as(server, "bot").status_code == 401
    assert "audit.altered" not in server.log
    assert done(home, "audit", "verify")["unsigned"] == 0


def test_a_token_alone_makes_a_copy_older(tmp_path: Path) -> None:
    """The audit shows that the copy lacks it, also after somebody looked into the copy."""
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    home.mkdir()
    with running(home) as server:
        certbound(home, "db", "backup", str(copy), environment=server.environment)
        mark = home / seen.FILE
        before = mark.read_text(encoding="utf-8")
        kit.issued(kit.ask_as(server, "bot"))
        eventually(lambda: mark.read_text(encoding="utf-8") != before)
        look = {"CERTBOUND_DATABASE_URL": f"sqlite:///{copy}"}
        certbound(home, "audit", "tail", environment={**server.environment, **look})
    for ending in ("-wal", "-shm"):
        (home / f"certbound.db{ending}").unlink(missing_ok=True)
    shutil.copy(copy, home / "certbound.db")
    refused(home, "serve", "--port", "0", "--mtls-port", "0", code=3)


def dated(home: Path, at_ms: int) -> None:
    """Have somebody who can write into the database date its newest entry anew."""
    with contextlib.closing(sqlite3.connect(home / "certbound.db")) as db, db:
        newest = "SELECT rowid FROM audit ORDER BY at_ms DESC LIMIT 1"
        assert db.execute(f"UPDATE audit SET at_ms = ? WHERE rowid = ({newest})", (at_ms,)).rowcount  # noqa: S608 - ours


def starts(home: Path) -> bool:
    """Whether a server would."""
    return call(home, "config", "check").code == 0


def test_a_date_to_come_is_no_mark(tmp_path: Path) -> None:
    """Written into the database and taken back, it makes nothing an older copy; verify tells of it."""
    certbound(tmp_path, "quickstart")
    done(tmp_path, "audit", "checkpoint")
    with contextlib.closing(sqlite3.connect(tmp_path / "certbound.db")) as db:
        (before,) = db.execute("SELECT max(at_ms) FROM audit").fetchone()
    dated(tmp_path, before + 86_400_000)
    done(tmp_path, "client", "list")
    assert call(tmp_path, "audit", "verify").code == 1
    assert starts(tmp_path)
    dated(tmp_path, before)
    done(tmp_path, "client", "list")
    assert starts(tmp_path)
    assert done(tmp_path, "audit", "verify")["intact"]


def test_a_clock_that_was_ahead_makes_no_older_copy(tmp_path: Path) -> None:
    """Entries and mark of a server whose clock went wrong still fit when it is right again."""
    certbound(tmp_path, "quickstart")
    ahead = 4_000_000_000_000
    dated(tmp_path, ahead)
    with at_desk(settings_for(tmp_path)) as desk:
        assert seen.replace(tmp_path, replace(seen.of(desk.db), audit=ahead))
    assert starts(tmp_path)
    done(tmp_path, "client", "disable", "bot")
    assert starts(tmp_path)


def test_where_only_dates_are_behind_verify_is_named(tmp_path: Path) -> None:
    """No act is missing: that may be no copy at all, and who wonders is told where to look."""
    certbound(tmp_path, "quickstart")
    done(tmp_path, "audit", "checkpoint")
    with contextlib.closing(sqlite3.connect(tmp_path / "certbound.db")) as db, db:
        db.execute("UPDATE audit SET at_ms = at_ms - 3600000")
    told = refused(tmp_path, "serve", "--port", "0", "--mtls-port", "0", code=3)["do_this"]
    assert "certbound audit verify; to take the database as it is: certbound db restored" in told
    assert call(tmp_path, "audit", "verify").code == 1
    assert done(tmp_path, "db", "restored")["tokens_revoked"] == 0
    assert starts(tmp_path)


def test_a_database_made_anew_is_no_older_copy(tmp_path: Path) -> None:
    """Whoever starts over, as the README says, is not held to what was there before."""
    certbound(tmp_path, "quickstart")
    done(tmp_path, "client", "disable", "bot")
    certbound(tmp_path, "key", "rotate", "--force")
    for file in tmp_path.glob("certbound.db*"):
        file.unlink()
    certbound(tmp_path, "db", "upgrade")
    with running(tmp_path, quickstart=False) as server:
        assert kit.ask_as(server, "bot").status_code == 401


def test_the_same_database_and_another_one_are_no_older_copies(tmp_path: Path) -> None:
    """A mark is of one database: where the settings name another, it has one of its own."""
    mine = seen.Seen("a", 5, 100)
    assert not mine.lacks(mine)
    assert not seen.Seen("b", 1, 1).lacks(mine)
    assert seen.Seen("a", 4, 200).lacks(mine)
    assert seen.Seen("a", 6, 99).lacks(mine)
    assert seen.note(tmp_path, mine)
    assert seen.note(tmp_path, seen.Seen("a", 4, 200))
    assert seen.known(tmp_path, "a") == mine
    assert seen.note(tmp_path, seen.Seen("b", 1, 1))
    assert seen.known(tmp_path, "b") == seen.Seen("b", 1, 1)
    assert seen.known(tmp_path, "a") == mine
    seen.forget(tmp_path, "b")
    assert seen.known(tmp_path, "b") is None
    assert seen.known(tmp_path, "a") == mine
    assert not seen.note(tmp_path / "none", mine)
    (tmp_path / seen.FILE).write_text("{]")
    assert seen.known(tmp_path, "a") is None
