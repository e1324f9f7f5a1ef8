"""``certbound db``: the database's schema."""

from app.admin import database
from app.cli.page import REFUSED, Page
from app.cli.session import Session, advice
from app.cli.verb import group, verb

commands = group("The database: its schema, and bringing it to this release's.")


@verb(commands, "upgrade")
def upgrade(session: Session) -> Page:
    """Create the database or bring it to this release's schema. Safe to repeat."""
    outcome = database.upgrade(session.settings)
    page = Page(
        {"database": outcome.shown, "from": outcome.before, "to": outcome.needed, "current": True}
    )
    if outcome.is_current:
        page.ok("schema", f"{outcome.needed}, nothing to do", database=outcome.shown)
    else:
        before = outcome.before or "an empty database"
        page.ok("schema", f"{before} → {outcome.needed}", database=outcome.shown)
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
        }
    )
    if found.is_current:
        page.ok("schema", found.needed, database=found.shown)
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
