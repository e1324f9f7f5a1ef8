"""Runs migrations: one transaction, one process at a time, bounded waits.

The URL comes from the caller (`app.store.schema`) or, for developers who run ``alembic`` itself,
from ``CERTBOUND_DATABASE_URL``.
"""

import os

from alembic import context
from sqlalchemy import Connection

from app.store.migrating import migrating
from app.store.tables import metadata


def _url() -> str:
    url = context.config.attributes.get("url") or os.environ.get("CERTBOUND_DATABASE_URL")
    if not url:
        raise SystemExit("Set CERTBOUND_DATABASE_URL, or run: certbound db upgrade")
    return str(url)


def _migrate(conn: Connection) -> None:
    context.configure(
        connection=conn,
        target_metadata=metadata,
        # SQLite alters a table by making it anew.
        render_as_batch=conn.dialect.name == "sqlite",
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Migrations look at the database: run them without --sql.")

given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with migrating(_url()) as connection:
        _migrate(connection)
