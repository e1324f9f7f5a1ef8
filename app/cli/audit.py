"""``certbound audit``: what was decided and done."""

import time
from typing import Annotated

import typer

from app.admin.audit_trail import Follower, tail
from app.cli.desk import desk_of
from app.cli.entries import add_entry, members
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb

commands = group("The audit trail: every token, refusal and operator's act.")
INTERVAL = 1.0
"""Seconds between looks with --follow."""

Count = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=0, max=10_000, help="How many entries.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as entries appear.")]


@verb(commands, "tail")
def tail_entries(session: Session, *, count: Count = 10, follow: Follow = False) -> Page:
    """Show the last entries, oldest first. With --follow and --json: one object per line."""
    with desk_of(session) as desk:
        rows = tail(desk, count)
        page = Page({"entries": [members(row) for row in rows]})
        for row in rows:
            add_entry(page, row)
        if not follow:
            if not rows:
                page.fact("no entries")
            return page
        follower = Follower(desk, rows)
        while True:
            if session.as_json:
                for row in rows:
                    session.emit_object(members(row))
            else:
                session.emit(page)
            time.sleep(INTERVAL)
            rows = list(follower.look())
            page = Page()
            for row in rows:
                add_entry(page, row)
