"""What every command knows: the home it works on, and how its outcome is to be printed."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from app import config
from app.admin.problem import Kind, Problem
from app.cli.page import Page, write_object

_COMMAND_START = re.compile(r"(?:^|(?<=[:,;] )|(?<=&& ))certbound (?=[a-z])")
_LAST_COMMAND = re.compile(
    r"(?:^|(?<=[:,;] ))(?:rm -- [^:;,]+ && )?certbound [a-z](?:(?![:,;] ).)*\Z"
)
"""A command that ends its sentence, or several joined by &&."""


@dataclass(slots=True)
class Session:
    """One invocation. Settings are loaded when first asked for."""

    home_flag: Path | None = None
    as_json: bool = False
    flags: dict[str, Any] = field(default_factory=dict)
    """Settings given on the command line; None counts as not given."""

    @property
    def home(self) -> Path:
        """The absolute home directory."""
        return config.find_home(self.home_flag)

    def loaded(self) -> config.Loaded:
        """The settings and their origins.

        Raises:
            Problem: a flag of this command cannot be used.
            ConfigError: the settings cannot be used, flags or not.

        """
        try:
            return config.load(self.home, self.flags)
        except config.ConfigError as error:
            if not any(value is not None for value in self.flags.values()):
                raise
            config.load(self.home)
            raise Problem(f"a flag cannot be used: {error}", kind=Kind.USAGE) from error

    @property
    def settings(self) -> config.Settings:
        """The settings; raises as `loaded`."""
        return self.loaded().settings

    def certbound(self, *arguments: str) -> tuple[str, ...]:
        """A command of this program on the same home, as the user could type it here."""
        return (*program(), *arguments, *_home(self.home_flag))

    def emit(self, page: Page) -> None:
        """Print a page; a reader that has seen enough (``| head``) ends the command."""
        with _enough(page.code):
            page.write(sys.stdout, as_json=self.as_json)

    def emit_object(self, members: Mapping[str, Any]) -> None:
        """Print one JSON object on one line, for output that has no end."""
        with _enough(0):
            write_object(sys.stdout, members)

    def emit_lines(self, lines: Iterable[str]) -> None:
        """Print lines of a form of their own, as they come."""
        with _enough(0):
            sys.stdout.writelines(f"{line}\n" for line in lines)
            sys.stdout.flush()


def named_home() -> Path | None:
    """The home that the environment names, where commands pasted elsewhere would not find it."""
    named = os.environ.get("CERTBOUND_HOME")
    if not named or config.find_home(Path(named)) == Path.cwd():
        return None
    return Path(named)


@contextmanager
def _enough(code: int) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence()
        raise typer.Exit(code) from None
    except OSError as error:
        _silence()
        raise Problem(
            f"the output cannot be written: {error.strerror}", kind=Kind.ENVIRONMENT
        ) from error


def _silence() -> None:
    """The interpreter flushes standard output once more at its end: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program() -> tuple[str, ...]:
    """How this program is started from the current directory."""
    started = Path(sys.argv[0])
    if started.parts[-2:] == ("app", "__main__.py"):
        return (shown(Path(sys.executable)), "-m", "app")
    if started.name != "certbound" or "/" not in sys.argv[0]:
        return ("certbound",)  # found on the PATH, or called from another program
    found = shutil.which("certbound")
    if found is not None and Path(found).resolve() == started.resolve():
        return ("certbound",)
    path = shown(started.absolute())
    return (path if "/" in path else f"./{path}",)


def shown(path: Path) -> str:
    """`path` as a person in the current directory would type it."""
    here = Path.cwd()
    if not path.is_absolute():
        return str(path)
    if path.is_relative_to(here):
        return str(path.relative_to(here))
    return str(path)


def advice(text: str, home_flag: Path | None) -> str:
    """Advice of another room, its commands as they can be typed here and on this home."""
    last = _LAST_COMMAND.search(text)
    if last is not None and home_flag is not None:
        home = f" {shlex.join(_home(home_flag))}"
        commands = last.group().split(" && ")
        told = (f"{one}{home}" if one.startswith("certbound ") else one for one in commands)
        text = text[: last.start()] + " && ".join(told)
    return _COMMAND_START.sub(lambda _: f"{shlex.join(program())} ", text)


def _home(flag: Path | None) -> tuple[str, ...]:
    return () if flag is None else ("--home", str(flag))
