"""Revoked tokens on a page: how many, and how long each kind of resource may still accept one."""

from typing import Any

from app import clock
from app.cli.dates import span
from app.cli.page import Page
from app.store.tokens import Outstanding


def add_tail(page: Page, tokens: Outstanding, ttl: int, *, would: bool = False) -> None:
    """What was revoked, or would be, and what that is worth; also as the member ``tokens``.

    `ttl` is how long a resource may use a status list that it fetched, in seconds.
    """
    page.members["tokens"] = tail_members(tokens, ttl)
    if not tokens.count or tokens.until is None:
        page.fact("tokens to revoke", "none")
        return
    left = max(tokens.until - clock.now(), 0)
    line = page.fact if would else page.ok
    line(
        "tokens that would be revoked" if would else "tokens revoked",
        str(tokens.count),
        proxies_that_ask_here="refuse them at once",
        resources_that_introspect="refuse them at once, plus what they keep of an answer "
        "(app.resource: keep_for, 30 seconds at most)",
        resources_that_read_status_lists=f"refuse them within {span(ttl)}",
        resources_that_ask_nobody=f"accept them for {span(left)} at most, "
        f"until {clock.iso(tokens.until)}, and what they allow for their clocks",
    )


def tail_members(tokens: Outstanding, ttl: int) -> dict[str, Any]:
    """The same for programs. Seconds are from now and at most; `until` is null where there is none."""
    left = 0 if tokens.until is None else max(tokens.until - clock.now(), 0)
    return {
        "count": tokens.count,
        "until": tokens.until,
        "seconds": left,
        "accepted_for": {
            "introspection": 0,
            "status_list": ttl if tokens.count else 0,
            "offline": left,
        },
    }
