"""Statements that run for every token, as the driver takes them: rows in, rows out.

Guarantees the errors of SQLAlchemy, and that values are parameters. For all else there is the
expression language; through it one of these would cost ten times itself.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

Rows = CursorResult[Any] | sqlite3.Cursor
"""What a statement gave: to be iterated over, row by row."""


def execute(conn: Connection, statement: str, values: tuple[Any, ...] = ()) -> Rows:
    """What the driver makes of a statement in its own words; errors are SQLAlchemy's.

    On SQLite it goes to the driver at once: SQLAlchemy's way there costs ten times the statement.
    """
    if conn.dialect.name != "sqlite":
        return conn.exec_driver_sql(statement, values)
    driver = cast("sqlite3.Connection", conn.connection.driver_connection)
    try:
        return driver.execute(statement, values)
    except sqlite3.Error as error:
        raise DBAPIError.instance(
            statement, None, error, sqlite3.Error, hide_parameters=True, dialect=conn.dialect
        ) from error


def insert_rows(
    conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]], conflict: str = ""
) -> None:
    """Insert rows given in the table's column order, as values the driver takes as they are.

    PostgreSQL: executemany, which psycopg sends as one pipeline. SQLite: executemany would step row
    by row, and each step gives up the interpreter lock and has to win it back from a busy event
    loop; so several rows go in one statement of 2^n rows, few enough to stay prepared.
    """
    if conn.dialect.name == "postgresql":
        if rows:
            conn.exec_driver_sql(_insert_text(table, 1, "%s", conflict), list(rows))
        return
    start = 0
    while left := len(rows) - start:
        size = min(1 << (left.bit_length() - 1), 128)
        values = tuple(chain.from_iterable(rows[start : start + size]))
        execute(conn, _insert_text(table, size, "?", conflict), values)
        start += size


def upsert_rows(
    conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]], change: str | None
) -> None:
    """As `insert_rows`; a row whose primary key is there changes that one, or nothing (None).

    `change` is SQL of both dialects: ``{0}`` names the stored row, ``excluded`` the given one.
    PostgreSQL gets one array per column: one statement and one answer, however many rows, which
    here matters more than there, as other nodes may wait for these rows.
    """
    if conn.dialect.name == "postgresql":
        if rows:
            columns = tuple(list(values) for values in zip(*rows, strict=True))
            conn.exec_driver_sql(_unnest_text(table, _conflict_text(table, change)), columns)
        return
    insert_rows(conn, table, rows, _conflict_text(table, change))


@cache
def _insert_text(table: Table, size: int, mark: str, conflict: str) -> str:
    row = "(" + ", ".join([mark] * len(table.columns)) + ")"
    names = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([row] * size)}{conflict}"  # noqa: S608 -- names from tables.py, values are parameters


@cache
def _unnest_text(table: Table, conflict: str) -> str:
    names = ", ".join(column.name for column in table.columns)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # -- SQLAlchemy's own signature
    arrays = ", ".join(f"%s::{column.type.compile(dialect)}[]" for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}){conflict}"  # noqa: S608 -- names from tables.py, values are parameters


@cache
def _conflict_text(table: Table, change: str | None) -> str:
    key = ", ".join(column.name for column in table.primary_key)
    act = "NOTHING" if change is None else f"UPDATE SET {change.format(table.name)}"
    return f" ON CONFLICT ({key}) DO {act}"
