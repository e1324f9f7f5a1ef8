"""Revision 0002 on a database in use: rows keep what they had, older processes go on, and back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.store import credentials, registry, schema
from app.store.engine import Database
from app.store.trust import RevocationRow
from tests.store.test_schema import shape

OLD_ROWS = (
    (
        "INSERT INTO clients (client_id, auth_method, grants, scopes, resources, trust_sets,"
        " created_at, updated_at) VALUES ('{n}', 'x', '[]', '[]', '[]', '[]', 1, 1)"
    ),
    (
        "INSERT INTO credentials (client_id, kind, spki_sha256, spki_der, state, created_at, source)"
        " VALUES ('{n}', 'key', 'k', '', 'active', 1, 'registered')"
    ),
    "INSERT INTO trust_sets (name, description, created_at, updated_at) VALUES ('{n}', '', 1, 1)",
    (
        "INSERT INTO resources (url, scopes, require, created_at, updated_at)"
        " VALUES ('{n}', '[]', 'mtls', 1, 1)"
    ),
)
"""As the release before writes them."""


def write_old_rows(conn: Connection, name: str) -> None:
    """One row of each table that revision 0002 changes."""
    for text in OLD_ROWS:
        conn.exec_driver_sql(text.format(n=name))


@pytest.fixture
def old(empty_url: str) -> Iterator[Database]:
    """A database of revision 0001 with a row of each kind, and a credential's id given and gone."""
    schema.upgrade(empty_url, "0001")
    database = Database(empty_url)
    with database.begin() as conn:
        write_old_rows(conn, "before")
        write_old_rows(conn, "gone")
        conn.exec_driver_sql("DELETE FROM clients WHERE client_id = 'gone'")
    yield database
    database.dispose()


def test_existing_rows_get_what_changes_nothing(old: Database, empty_url: str) -> None:
    """No labels, no bounds, revocation off, nobody's custody; ids given before are not given again."""
    schema.upgrade(empty_url)
    with old.begin() as conn:
        write_old_rows(conn, "after")  # a process of the release before, still running
        rows = registry.load(conn)
    for client in rows.clients:
        assert (client.tenant, client.risk, client.resource_class) == ("", "", "")
        assert client.spiffe_id is None
    for trust_set in rows.trust_sets:
        assert (trust_set.permitted, trust_set.revocation) == ({}, RevocationRow())
        assert (trust_set.trust_domain, trust_set.bundle) == (None, None)
    assert [resource.tenant for resource in rows.resources] == [""] * 3
    assert [row.client_id for row in rows.clients] == ["after", "before"]
    assert [(row.id, row.phase(9), row.custody) for row in rows.credentials] == [
        (1, "active", "unknown"),
        (3, "active", "unknown"),
    ]


def test_the_constraints_are_all_there_after_the_table_was_remade(
    old: Database, empty_url: str
) -> None:
    """Foreign key, uniqueness and checks still object."""
    schema.upgrade(empty_url)
    for text in (
        "UPDATE credentials SET client_id = 'nobody'",
        "UPDATE credentials SET state = 'lost'",
        "UPDATE credentials SET kind = 'lost'",
        OLD_ROWS[1].format(n="before"),
    ):
        with pytest.raises(IntegrityError), old.begin() as conn:
            conn.exec_driver_sql(text)


def test_the_way_back_lets_nothing_count_again(old: Database, empty_url: str) -> None:
    """The schema is 0001's to the letter; revoked and due credentials are retired in it."""
    with old.read() as conn:
        before = shape(conn)
    schema.upgrade(empty_url)
    with registry.change(old) as conn:
        for name in ("due", "later"):
            write_old_rows(conn, name)
        assert credentials.revoke(conn, "before", "k", 5)
        assert credentials.retire_at(conn, "due", "k", 6, now=5)
        assert credentials.retire_at(conn, "later", "k", 4_000_000_000, now=5)
    schema.downgrade(empty_url, "0001")
    query = "SELECT client_id, id, state, retired_at FROM credentials ORDER BY id"
    with old.begin() as conn:
        assert shape(conn) == before
        assert [tuple(row) for row in conn.exec_driver_sql(query)] == [
            ("before", 1, "retired", 5),
            ("due", 3, "retired", 6),
            ("later", 4, "active", None),
        ]
        conn.exec_driver_sql("DELETE FROM clients WHERE client_id = 'later'")
    schema.upgrade(empty_url)
    with old.begin() as conn:
        write_old_rows(conn, "last")
        assert credentials.of_client(conn, "last")[0].id == 5
