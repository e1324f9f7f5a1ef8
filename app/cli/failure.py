"""From an exception to what a person is told and the exit code. Never a stack for a mistake."""

from pathlib import Path
from typing import Any

import typer

from app.admin.problem import Kind, Problem
from app.cli.escape import command_line
from app.cli.page import ENVIRONMENT, REFUSED, USAGE
from app.cli.session import advice
from app.config import ConfigError
from app.unsaid import without_passwords

_CODES = {Kind.REFUSED: REFUSED, Kind.USAGE: USAGE, Kind.ENVIRONMENT: ENVIRONMENT}

_DAMAGED = frozenset({"file is not a database", "database disk image is malformed"})
"""SQLite's words for a file that no waiting mends."""


def explained(error: Exception, home: Path | None) -> tuple[int, dict[str, Any]] | None:
    """Exit code and members of the error shape; None for what only a programmer can judge.

    `home` is the value of ``--home``, so that a command in the advice names it too. A password in a
    URL that was typed, or stands in a setting, is not repeated.
    """
    known = _explained(error, home)
    if known is None:
        return None
    code, members = known
    return code, {
        # What to do quotes nothing, and a user's name in a command belongs there.
        name: text if name == "do_this" else without_passwords(str(text))
        for name, text in members.items()
    }


def _explained(error: Exception, home: Path | None) -> tuple[int, dict[str, Any]] | None:
    if isinstance(error, typer.TyperException):
        return error.exit_code, _usage(error)
    if isinstance(error, Problem):
        return _CODES[error.kind], _members(error, home)
    if isinstance(error, ConfigError):
        return ENVIRONMENT, {
            "kind": Kind.ENVIRONMENT,
            "message": f"the settings cannot be used: {error}",
        }
    # Asked by name: importing the store here would cost every command that does without it.
    if type(error).__name__ == "StoreUnavailable":
        return ENVIRONMENT, _database(error, home)
    return None


def _usage(error: typer.TyperException) -> dict[str, Any]:
    """Typer's own words; the command that explains the usage where Typer knows which it was."""
    members = {"kind": Kind.USAGE, "message": error.format_message()}
    path = getattr(getattr(error, "ctx", None), "command_path", None)
    return members if path is None else {**members, "do_this": advice(f"{path} --help", None)}


def _members(problem: Problem, home: Path | None) -> dict[str, Any]:
    action = advice(problem.action, home)
    if problem.command:
        action = f"{action} {advice(command_line(problem.command), home)}".lstrip()
    texts = {"seen": problem.seen, "expected": problem.expected, "do_this": action}
    return {
        "kind": problem.kind,
        "message": problem.message,
        **{name: text for name, text in texts.items() if text},
    }


def _database(error: Exception, home: Path | None) -> dict[str, Any]:
    seen = (str(error) or type(error).__name__).splitlines()[0]
    damaged = seen in _DAMAGED
    return {
        "kind": Kind.ENVIRONMENT,
        "message": "the database cannot be used",
        "seen": seen,
        "expected": "the file that quickstart or db upgrade made"
        if damaged
        else "a database that answers within two seconds",
        "do_this": "Restore it from a backup, or correct database_url."
        if damaged
        else advice("certbound config show", home),
    }
