"""After everything that can happen to a token, no secret is found in logs, answers or database."""

import base64
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from app.store import schema
from tests.conftest import BOTH
from tests.kit import tokens
from tests.kit.canaries import Tour, files, hits, mark
from tests.kit.running import free_ports, running

if TYPE_CHECKING:
    from tests.kit.postgres import PostgresServer


@pytest.fixture(scope="module", params=BOTH)
def tour(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tour]:
    """A server with the most talkative log, on each database, that went through everything."""
    home = tmp_path_factory.mktemp("home")
    marked = {"sealing key": base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")}
    url = f"sqlite:///{home / 'certbound.db'}"
    if request.param == "postgresql":
        marked["database password"] = mark("database")
        server: PostgresServer = request.getfixturevalue("postgres")
        name = server.create_database()
        with psycopg.connect(server.dsn(name), autocommit=True) as conn:
            conn.execute(f"ALTER DATABASE {name} SET log_statement = 'all'".encode())
        url = server.url(name).replace("certbound@", f"certbound:{marked['database password']}@")
        schema.upgrade(url)
    (ops,) = free_ports(1)
    with running(
        home,
        log_level="debug",
        log_format="json",
        database_url=url,
        sealing_key=marked["sealing key"],
        ops_port=str(ops),
    ) as started:
        made = Tour(started, marked, ("--json",) if request.param == "sqlite" else ())
        made.go()
        yield made


def statements(server: "PostgresServer") -> bytes:
    """What its log says of every statement, values too."""
    return (server.folder / "log").read_bytes()


@pytest.fixture
def dump(tour: Tour, request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """The whole database as SQL; SQLite's files too, and a copy, or all that PostgreSQL was told."""
    url = tour.server.environment["CERTBOUND_DATABASE_URL"]
    if url.startswith("postgresql"):
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.dump(url.partition("@/")[2].partition("?")[0]) + statements(server)
    path = tour.server.home / "certbound.db"
    copy = tmp_path / "copy.db"
    tour.server.certbound("db", "backup", str(copy))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as conn:
        sql = "\n".join(conn.iterdump())
    conn.close()
    return files(path.parent, ["certbound.db*"]) + copy.read_bytes() + sql.encode()


def test_the_search_finds_what_is_there(tour: Tour, dump: bytes) -> None:
    """The control: the same search finds each secret where it rightly is, or was sent."""
    wanted = tour.wanted()
    keys = files(tour.server.home / "certs", ["*.key"])
    rightly = [json.dumps(tour.server.environment), *tour.received, *tour.secrets.values()]
    assert hits(keys + "".join(rightly).encode(), wanted) == list(wanted)
    assert len(hits(keys, wanted)) >= 4 * 2
    assert len(tour.received) == 6
    jtis = {tokens.read(token)["jti"]: b"" for token in tour.received}
    assert hits(dump, {jti: jti.encode() for jti in jtis}) == list(jtis)


def test_no_secret_in_what_was_answered_or_printed(tour: Tour) -> None:
    """Not in an error body, an export, the metrics, or the output of any command."""
    assert len(tour.told) > 60
    found = {where: hits(text.encode(), tour.wanted()) for where, text in tour.told.items()}
    assert {where: names for where, names in found.items() if names} == {}


def test_no_secret_in_the_log(tour: Tour) -> None:
    """At debug level too."""
    log = tour.server.log.encode()
    assert b"request.refused" in log
    assert hits(log, tour.wanted()) == []


def test_no_secret_in_the_database(tour: Tour, dump: bytes) -> None:
    """Neither in a value nor in a page that was left behind; signing keys are sealed."""
    assert hits(dump, tour.wanted()) == []
    assert b"PRIVATE KEY" not in dump
    for member in (b'"d":', b'"d" :', b"'d':"):
        assert member not in dump, "the private member of a JWK"
    for event in (b"token.issued", b"request.refused", b"client.added", b"key.rotated"):
        assert event in dump, "the audit"


def test_the_tour_leaves_nothing_out(tour: Tour) -> None:
    """Whoever adds an endpoint takes it along."""
    with tour.server.client(None) as http:
        published = http.get(f"{tour.server.issuer}/.well-known/oauth-authorization-server").json()
    paths = {
        str(url).removeprefix(tour.server.issuer)
        for name, url in published.items()
        if name.endswith("_endpoint")
    }
    seen = {where.partition(" ")[2] for where in tour.told}
    assert paths <= seen
