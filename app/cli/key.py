"""``certbound key``: the keys that sign tokens."""

from typing import Annotated, Any

import typer

from app.admin import keys
from app.cli.dates import until
from app.cli.desk import desk_of
from app.cli.page import Page
from app.cli.session import Session
from app.cli.verb import group, verb
from app.store.signing_keys import SigningKeyRow

commands = group("Signing keys: next is published, current signs, retired still verifies.")

Force = Annotated[
    bool, typer.Option("--force", help="Even if verifiers may not know the next key yet.")
]


@verb(commands, "list")
def list_keys(session: Session) -> Page:
    """Show every signing key and its dates."""
    with desk_of(session) as desk:
        rows = keys.listed(desk)
    page = Page({"keys": [_members(row) for row in rows]})
    for row in sorted(rows, key=lambda row: ("current", "next", "retired").index(row.state)):
        line = page.ok if row.state == "current" else page.fact
        line(
            row.state,
            f"{row.kid} ({row.algorithm})",
            published=until(row.published_at),
            signs_since=until(row.activated_at),
            retired=until(row.retired_at),
            goes=until(row.remove_after),
        )
    if not rows:
        page.warn("no signing keys", "the server makes them when it starts")
    return page


@verb(commands, "rotate")
def rotate(session: Session, *, force: Force = False) -> Page:
    """Let the next key sign from now on, and publish a new next one."""
    with desk_of(session) as desk:
        outcome = keys.rotate(desk, force=force)
    page = Page({"rotated": outcome.done, "current": outcome.current, "early_by": outcome.early_by})
    if outcome.done:
        page.ok("signing key rotated", outcome.current)
    else:
        page.fact("another process rotated first", "nothing was changed here")
    if outcome.early_by:
        page.warn(
            "published too recently",
            f"for another {outcome.early_by} seconds some verifiers may refuse its tokens",
        )
    return page


def _members(row: SigningKeyRow) -> dict[str, Any]:
    return {
        "kid": row.kid,
        "alg": row.algorithm,
        "state": row.state,
        "created_at": row.created_at,
        "published_at": row.published_at,
        "activated_at": row.activated_at,
        "retired_at": row.retired_at,
        "remove_after": row.remove_after,
    }
