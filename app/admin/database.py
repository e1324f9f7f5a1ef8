"""The database's schema, as an operator sees and changes it."""

import re
from dataclasses import dataclass

from app.admin import seen
from app.admin.desk import database, file_of, require_file, require_usable
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.store import schema
from app.store.schema import Step

MASKED = "***"
_PASSWORDS = (re.compile(r"(://[^:/@]*:).*(?=@)", re.DOTALL), re.compile(r"([?&]password=)[^&]*"))


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Which schema the database has (None: empty), and which this release needs."""

    shown: str
    """The database's URL without its password."""
    before: str | None
    needed: str
    goes_on: bool = False
    """Whether it is a newer release's that this one may use all the same."""

    @property
    def is_current(self) -> bool:
        """Whether it is this release's own."""
        return self.before == self.needed

    @property
    def remedy(self) -> str:
        """What to do where it is not current."""
        return schema.remedy(self.before)


def status(settings: Settings) -> SchemaStatus:
    """Look, and change nothing.

    Raises:
        Problem: there is no database file, or the URL is not usable.
        StoreUnavailable: it does not answer.

    """
    db = database(settings)
    require_file(db)
    return _status(settings)


def _status(settings: Settings) -> SchemaStatus:
    before, needed = schema.status(settings.database_url)
    goes_on = before not in {None, needed} and schema.serves(settings.database_url)
    return SchemaStatus(shown_url(settings), before, needed, goes_on)


def plan(settings: Settings) -> tuple[SchemaStatus, list[Step]]:
    """What `upgrade` would do, step by step; nothing is changed.

    Raises:
        Problem: there is no database, or its schema is a newer release's that this one cannot use.
        StoreUnavailable: it does not answer.

    """
    found = status(settings)
    _require_not_newer(found)
    return found, [] if found.goes_on else schema.plan(settings.database_url)


def upgrade(settings: Settings) -> SchemaStatus:
    """Create or migrate; what it was before. Several at once are safe: one migrates.

    Raises:
        Problem: the directory is missing, or the schema is a newer release's that this one cannot
            use.
        StoreUnavailable: it does not answer.

    """
    db = database(settings)
    path = file_of(db)
    if path is not None and not path.parent.is_dir():
        raise Problem(
            "the database cannot be made",
            seen=f"no directory {path.parent}",
            expected="an existing directory",
            kind=Kind.ENVIRONMENT,
        )
    if path is not None and path.exists():
        require_usable(path)
    found = _status(settings)
    _require_not_newer(found)
    if found.before is None:
        seen.forget(settings.home, seen.name_of(db))  # made anew: no older copy of anything
    if not found.goes_on:
        schema.upgrade(settings.database_url)
    return found


def _require_not_newer(found: SchemaStatus) -> None:
    if found.before is not None and found.before > found.needed and not found.goes_on:
        raise Problem(
            "the database belongs to a newer release",
            seen=f"schema {found.before}",
            expected=f"schema {found.needed} or older",
            action="Install the newer release; this one never migrates back by itself.",
            kind=Kind.ENVIRONMENT,
        )


def shown_url(settings: Settings) -> str:
    """The database's URL as configured, ``***`` for its password, however malformed it is."""
    shown = settings.database_url
    for pattern in _PASSWORDS:
        shown = pattern.sub(rf"\g<1>{MASKED}", shown)
    return shown
