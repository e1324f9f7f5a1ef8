"""The command line: a table of nouns, each in a file of its own that is imported when it is used.

`main` guarantees the exit codes 0 ok, 1 refused or problem found, 2 usage, 3 environment (130 when
interrupted), a message instead of a stack for every mistake a user can make, and with ``--json``
one JSON object: the outcome on standard output, or ``{"version": 1, "error": {...}}`` on standard
error.
"""

import importlib
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from app.cli import last_line
from app.cli.escape import command_line
from app.cli.failure import explained
from app.cli.page import REFUSED, USAGE, write_error
from app.cli.session import named_home, program
from app.cli.verb import group

COMMANDS = ("quickstart", "serve", "demo-api", "explain")
"""Verbs that stand alone; each module has `command`."""
NOUNS = (
    "client",
    "ca",
    "trust",
    "resource",
    "proxy",
    "token",
    "revoke",
    "key",
    "doctor",
    "audit",
    "config",
    "db",
)
"""Each module has `commands`."""
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without ✔ still gets text
    try:
        code = build(words)(args=words, prog_name="certbound", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, typer.TyperException) and _is_help(error):
            sys.stderr.write(f"{error.format_message()}\n")
            return USAGE
        known = explained(error, _home(words))
        to_log = last_line.is_wanted(words, _home(words))
        if known is None and to_log:
            last_line.write(error)
            return REFUSED  # as Python ends after a stack
        if known is None:
            raise
        code, members = known
        if code == USAGE and (order := _right_order(words)):
            members = {**members, "message": "options come after the command", "do_this": order}
        if to_log:
            last_line.write(members)
        else:
            write_error(sys.stderr, members, as_json="--json" in words)
    return int(code or 0)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The command tree; only the part that `words` begin with, where that is clear.

    Importing everything takes half a second, which `serve` and `token get` need not wait for.
    """
    app = group("An OAuth 2.0 authorization server for certificate-bound tokens (RFC 8705).")
    app.callback()(_root)
    wanted = words[0] if words else ""
    for name in COMMANDS if wanted not in NOUNS else ():
        if wanted not in COMMANDS or wanted == name:
            module = importlib.import_module(f"app.cli.{name.replace('-', '_')}")
            module.register(app)
    for name in NOUNS if wanted not in COMMANDS else ():
        if wanted not in NOUNS or wanted == name:
            module = importlib.import_module(f"app.cli.{name}")
            app.add_typer(module.commands, name=name)
    return app


def _is_help(error: typer.TyperException) -> bool:
    """Whether this is a noun without a verb: Typer raises its help text, under no public name."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _say_version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if not asked:
        return
    try:
        number = version("certbound")
    except PackageNotFoundError:  # run from a checkout that nobody installed
        project = Path(__file__).parents[2] / "pyproject.toml"
        number = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    sys.stdout.write(f"certbound {number}\n")
    raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version),
]


def _root(*, version: Version = False) -> None:
    """Keep a tree with one command a tree: Typer would fold it into that command."""


def _right_order(words: Sequence[str]) -> str:
    """The same words with the options of every command where they belong; empty: they are there."""
    rest = list(words)
    early: list[str] = []
    while rest and rest[0].partition("=")[0] in {"--json", "--home"}:
        count = 2 if rest[0] == "--home" else 1
        early, rest = [*early, *rest[:count]], rest[count:]
    try:
        return command_line((*program(), *rest, *early)) if early and rest else ""
    except ValueError:
        return ""


def _home(words: Sequence[str]) -> Path | None:
    """The value of ``--home`` among the words, however far parsing came; else the environment's."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--home" and following:
            return Path(following)
        if word.startswith("--home="):
            return Path(word.removeprefix("--home="))
    return named_home()
