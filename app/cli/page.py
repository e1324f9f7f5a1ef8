"""What one command says: lines for people and members for programs, made together."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from app.cli.escape import command_line, escape

VERSION: Final = 1
"""Of every JSON shape this command line prints; raised when a member changes its meaning."""
OK, REFUSED, USAGE, ENVIRONMENT = range(4)
"""Exit codes."""

_COLOUR = {"✔": "\x1b[32m", "✘": "\x1b[31m", "!": "\x1b[33m"}
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Line:
    """``✔ label: value``, with indented lines under it."""

    mark: str
    label: str
    value: str
    details: tuple[tuple[str, str], ...] = ()

    def write(self, stream: TextIO, *, colour: bool) -> None:
        """Print it; text of others is escaped here and nowhere else."""
        mark = self.mark
        if colour and mark in _COLOUR:
            mark = f"{_COLOUR[mark]}{mark}{_RESET}"
        stream.write(f"{mark} {_labelled(self.label, self.value)}\n")
        for label, value in self.details:
            if value:
                stream.write(f"    {_labelled(label, value)}\n")


@dataclass(frozen=True, slots=True)
class Pasteable:
    """A command on a line of its own, under a sentence that says what it is for."""

    purpose: str
    arguments: tuple[str, ...]

    def write(self, stream: TextIO, *, colour: bool) -> None:  # noqa: ARG002 - as Line
        """Print it, quoted for a shell."""
        try:
            line = command_line(self.arguments)
        except ValueError as error:
            line = f"(cannot be shown: {error})"
        stream.write(f"  {escape(self.purpose)}:\n    {line}\n")


@dataclass(frozen=True, slots=True)
class ShellLine:
    """A line for a shell, which its maker has quoted (`app.cli.escape.command_line`)."""

    purpose: str
    line: str

    def write(self, stream: TextIO, *, colour: bool) -> None:  # noqa: ARG002 - as Line
        """Print it."""
        stream.write(f"  {escape(self.purpose)}:\n    {escape(self.line)}\n")


@dataclass(frozen=True, slots=True)
class Block:
    """Text that is wanted as it stands, such as a token: no mark, nothing in front."""

    text: str

    def write(self, stream: TextIO, *, colour: bool) -> None:  # noqa: ARG002 - as Line
        """Print it, each of its lines escaped."""
        stream.writelines(f"{escape(line)}\n" for line in self.text.splitlines())


@dataclass(slots=True)
class Page:
    """The outcome of a command, printed once: as lines, or with ``--json`` as one object."""

    members: dict[str, Any] = field(default_factory=dict)
    code: int = OK
    lines: list[Line | Pasteable | ShellLine | Block] = field(default_factory=list)
    silent: bool = False
    """Everything was printed already."""

    def ok(self, label: str, value: str = "", **details: str) -> None:
        """A line that says: good."""
        self._line("✔", label, value, details)

    def bad(self, label: str, value: str = "", **details: str) -> None:
        """A line that says: not good. The exit code is the caller's to set."""
        self._line("✘", label, value, details)

    def warn(self, label: str, value: str = "", **details: str) -> None:
        """A line that says: done, but look at this."""
        self._line("!", label, value, details)

    def fact(self, label: str, value: str = "", **details: str) -> None:
        """A line that judges nothing."""
        self._line("·", label, value, details)

    def command(self, purpose: str, *arguments: str) -> None:
        """A command to paste."""
        self.lines.append(Pasteable(purpose, arguments))

    def shell(self, purpose: str, line: str) -> None:
        """A line to paste that has variables in it."""
        self.lines.append(ShellLine(purpose, line))

    def block(self, text: str) -> None:
        """Text by itself."""
        self.lines.append(Block(text))

    def write(self, stream: TextIO, *, as_json: bool) -> None:
        """Print the page."""
        if self.silent:
            return
        if as_json:
            stream.write(_json(self.members))
        else:
            colour = has_colour(stream)
            for line in self.lines:
                line.write(stream, colour=colour)
        stream.flush()

    def _line(self, mark: str, label: str, value: str, details: Mapping[str, str]) -> None:
        pairs = tuple((name.replace("_", " "), text) for name, text in details.items())
        self.lines.append(Line(mark, label, value, pairs))


def has_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose owner did not decline (no-color.org)."""
    return (
        stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"
    )


def write_error(stream: TextIO, members: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a failure: for people its message, what was seen, expected, and what to do."""
    if as_json:
        stream.write(_json({"error": dict(members)}))
    else:
        page = Page()
        details = {
            name: str(members[name]) for name in ("seen", "expected", "do_this") if name in members
        }
        page.bad(str(members["message"]), **details)
        page.write(stream, as_json=False)
    stream.flush()


def write_object(stream: TextIO, members: Mapping[str, Any]) -> None:
    """Print one JSON object on one line, for output that has no end."""
    stream.write(json.dumps({"version": VERSION, **members}, ensure_ascii=True) + "\n")
    stream.flush()


def _labelled(label: str, value: str) -> str:
    if not value:
        return escape(label)
    return f"{escape(label)}: {escape(value)}"


def _json(members: Mapping[str, Any]) -> str:
    # ASCII only: a terminal cannot act on an escaped control or bidirectional character.
    return json.dumps({"version": VERSION, **members}, indent=2, ensure_ascii=True) + "\n"
