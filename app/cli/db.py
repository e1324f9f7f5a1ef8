"""``certbound db``: the database's schema."""

from pathlib import Path
from typing import Annotated

import typer

from app import clock
from app.admin import database
from app.admin.backup import backup as make_backup
from app.admin.desk import at_desk
from app.admin.restore import restored as take_as_it_is
from app.cli.page import REFUSED, Page
from app.cli.session import Session, advice, shown
from app.cli.verb import group, verb

File = Annotated[Path, typer.Argument(help="The new file.", show_default=False)]

Plan = Annotated[
    bool, typer.Option("--plan", help="Only print the steps and their SQL; change nothing.")
]

commands = group("The database: its schema, and bringing it to this release's.")


@verb(commands, "upgrade")
def upgrade(session: Session, *, plan: Plan = False) -> Page:
    """Create the database or bring it to this release's schema. Safe to repeat."""
    if plan:
        return _planned(session)
    outcome = database.upgrade(session.settings)
    page = Page(
        {
            "database": outcome.shown,
            "from": outcome.before,
            "to": outcome.before if outcome.goes_on else outcome.needed,
            "current": not outcome.goes_on,
        }
    )
    if outcome.is_current:
        page.ok("schema", f"{outcome.needed}, nothing to do", database=outcome.shown)
    elif outcome.goes_on:
        page.ok("schema", _goes_on(outcome), database=outcome.shown)
    else:
        before = outcome.before or "an empty database"
        page.ok("schema", f"{before} → {outcome.needed}", database=outcome.shown)
    return page


@verb(commands, "backup")
def backup(session: Session, file: File) -> Page:
    """Copy a SQLite database while it is in use. Nothing is overwritten."""
    with at_desk(session.settings) as desk:
        size = make_backup(desk, file)
    page = Page({"file": str(file), "bytes": size})
    page.ok("backup", f"{shown(file)}, {size:,} bytes, whole")
    page.warn("not in it", "the sealing key and the certificates, in certs/")
    return page


@verb(commands, "restored")
def restored(session: Session) -> Page:
    """Take an older copy of the database as it is, after it was put in the database's place.

    Every token on record is revoked and every signing key is replaced, so that nothing issued before
    counts. What operators revoked after the copy was made has to be revoked again.
    """
    with at_desk(session.settings) as desk:
        done = take_as_it_is(desk)
    lost = {"from": clock.iso(done.since), "to": clock.iso(done.until)}
    page = Page({"tokens_revoked": done.tokens, "signing_keys_replaced": done.keys, "lost": lost})
    page.ok("database", "taken as it is")
    page.ok("tokens revoked", str(done.tokens))
    page.ok("signing keys replaced", str(done.keys))
    page.warn(
        "do again",
        f"what was revoked, disabled or removed from {lost['from']} to {lost['to']}",
        where_to_look="the exported audit, or the database that was replaced if it can be read",
    )
    return page


@verb(commands, "status")
def status(session: Session) -> Page:
    """Compare the database's schema with the one this release needs."""
    found = database.status(session.settings)
    page = Page(
        {
            "database": found.shown,
            "schema": found.before,
            "needed": found.needed,
            "current": found.is_current,
            "usable": found.is_current or found.goes_on,
        }
    )
    if found.is_current:
        page.ok("schema", found.needed, database=found.shown)
        return page
    if found.goes_on:
        page.ok("schema", _goes_on(found), database=found.shown)
        return page
    page.code = REFUSED
    page.bad(
        "schema",
        found.before or "an empty database",
        expected=found.needed,
        database=found.shown,
        do_this=advice(found.remedy, session.home_flag),
    )
    return page


def _goes_on(found: database.SchemaStatus) -> str:
    return f"{found.before}, a newer release's; this one ({found.needed}) goes on with it"


def _planned(session: Session) -> Page:
    found, steps = database.plan(session.settings)
    page = Page(
        {
            "database": found.shown,
            "from": found.before,
            "to": found.needed,
            "steps": [
                {"schema": step.revision, "title": step.title, "sql": list(step.statements)}
                for step in steps
            ],
        }
    )
    if found.goes_on:
        page.ok("schema", _goes_on(found), database=found.shown)
    elif not steps:
        page.ok("schema", f"{found.needed}, nothing to do", database=found.shown)
    for step in steps:
        page.fact(f"schema {step.revision}", step.title)
        page.block("".join(f"{statement};\n" for statement in step.statements))
    return page
