"""``certbound config``: the settings in force, and whether a server could run on them."""

from typing import Any

from app.admin.checkup import Check, checkup
from app.admin.database import MASKED, shown_url
from app.cli.page import REFUSED, Page
from app.cli.session import Session, advice
from app.cli.verb import group, verb
from app.config import SECRETS, Settings

commands = group("The settings: flags, environment, certbound.toml, defaults; in that order.")


@verb(commands, "show")
def show(session: Session) -> Page:
    """Print every setting, its value and where it comes from. Secrets are masked."""
    loaded = session.loaded()
    page = Page({"home": str(session.home), "settings": {}})
    page.fact("home", str(session.home))
    for name, origin in loaded.origins.items():
        value = _value(loaded.settings, name)
        page.members["settings"][name] = {"value": value, "origin": origin}
        page.fact(f"{name} ({origin})", "not set" if value is None else str(value))
    return page


@verb(commands, "check")
def check(session: Session) -> Page:
    """Check that the files, keys, database and metadata fit together; for every night too.

    Exit code 1 when a server could not run, or when a CRL or a trust anchor ended or soon will.
    """
    settings = session.settings
    checks = checkup(settings)
    if all(one.passed is not False for one in checks):
        # Only a home that could serve has metadata; only then is the server worth importing.
        from app.cli.metadata_check import check_metadata  # noqa: PLC0415 - as said above

        checks.append(check_metadata(settings))
    failed = [one for one in checks if one.passed is False]
    due = [one for one in checks if one.due]
    page = Page(
        {
            "checks": [_members(one) for one in checks],
            "problems": len(failed),
            "due": len(due),
        }
    )
    for one in checks:
        line = {True: page.ok, False: page.bad, None: page.warn}[one.passed]
        line(
            one.name,
            one.seen,
            expected=one.expected,
            do_this=advice(one.action, session.home_flag),
        )
    if failed:
        page.code = REFUSED
        page.bad("a server could not run on this", f"{len(failed)} problem(s)")
    else:
        page.ok("a server could run on this")
    if due:
        page.code = REFUSED
        page.bad("clients are refused, or soon will be", f"{len(due)} thing(s) to do")
    return page


def _members(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "passed": check.passed,
        "seen": check.seen,
        "expected": check.expected,
        "action": check.action,
        "due": check.due,
    }


def _value(settings: Settings, name: str) -> Any:
    value = getattr(settings, name)
    if value is None:
        return None
    if name in SECRETS:
        return MASKED
    if name == "database_url":
        return shown_url(settings)
    return value if isinstance(value, int | float | str) else str(value)
