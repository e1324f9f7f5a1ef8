"""Runs migrations: one transaction, one process at a time, bounded waits.

The URL comes from the caller (`app.store.schema`) or, for developers who run ``alembic`` itself,
from ``CERTBOUND_DATABASE_URL``.
"""

import os
from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text

from app.store.engine import notify
from app.store.migrating import migrating
from app.store.registry import CHANNEL
from app.store.tables import metadata

_SAYS = "0006"
"""The first schema with a place for it."""


def _url() -> str:
    url = context.config.attributes.get("url") or os.environ.get("CERTBOUND_DATABASE_URL")
    if not url:
        raise SystemExit("Set CERTBOUND_DATABASE_URL, or run: certbound db upgrade")
    return str(url)


def _migrate(conn: Connection) -> None:
    before = MigrationContext.configure(conn).get_current_revision()
    tell = context.config.attributes.get("on_version_apply")

    def applied(
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Collection[Any],
        run_args: Mapping[str, Any],
    ) -> None:
        _say(before, ctx, heads)
        if tell is not None:
            tell(ctx=ctx, step=step, heads=heads, run_args=run_args)

    context.configure(
        connection=conn,
        target_metadata=metadata,
        # SQLite alters a table by making it anew.
        render_as_batch=conn.dialect.name == "sqlite",
        on_version_apply=applied,
    )
    with context.begin_transaction():
        context.run_migrations()


def _say(before: str | None, ctx: MigrationContext, heads: Collection[str]) -> None:
    """Which releases go on with what is there now, and to running ones that they look at it."""
    conn = ctx.connection
    if conn is None or not heads:  # back to nothing
        return
    (head,) = heads
    if before is not None:
        conn.execute(text("UPDATE registry SET version = version + 1"))
        notify(conn, CHANNEL)
    if head >= _SAYS:
        found = context.script.get_revision(head)
        row = {"head": head, "oldest": getattr(found.module, "oldest", head)}
        conn.execute(text("UPDATE registry SET migrated_to = :head, oldest = :oldest"), row)


if context.is_offline_mode():
    raise SystemExit("Migrations look at the database: run them without --sql.")

given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with migrating(_url()) as connection:
        _migrate(connection)
