"""Where the value of each setting comes from.

Precedence: flag, then environment ``CERTBOUND_<NAME>``, then ``<home>/certbound.toml``, then the
default. Unknown names are refused with the nearest known one: a misspelt security setting must
never be ignored.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.config.settings import FILES, SECRETS, Settings, names
from app.unsaid import without_passwords

ENVIRONMENT_PREFIX = "CERTBOUND_"
FILE_NAME = "certbound.toml"


class ConfigError(Exception):
    """The settings cannot be used; the message says which one, what was seen and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the origin of each value: ``flag``, ``environment``, ``file`` or ``default``."""

    settings: Settings
    origins: Mapping[str, str]


def find_home(flag: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """``--home``, else ``CERTBOUND_HOME``, else the current directory; absolute."""
    return (flag or Path(environ.get("CERTBOUND_HOME") or ".")).expanduser().resolve()


def load(
    home: Path,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Settings for `home`. Flags that are None count as not given.

    Raises:
        ConfigError: a name is unknown, a value does not fit, or the file is not TOML.

    """
    layers = (
        ("file", _from_file(home / FILE_NAME)),
        ("environment", _from_environment(environ)),
        ("flag", {k: v for k, v in (flags or {}).items() if v is not None}),
    )
    values: dict[str, Any] = {}
    origins = dict.fromkeys(names(), "default")
    for origin, layer in layers:
        for name, value in layer.items():
            values[name], origins[name] = value, origin
    try:
        return Loaded(Settings(home=home, **values), origins)
    except ValidationError as error:
        problems = "; ".join(
            _problem(e["loc"], e["msg"], origins, values)
            for e in error.errors()
            if e["type"] != "default_factory_not_called"  # a consequence, not a cause
        )
        raise ConfigError(problems) from None


def _problem(
    loc: tuple[int | str, ...], message: str, origins: Mapping[str, str], values: Mapping[str, Any]
) -> str:
    name = str(loc[0]) if loc else "settings"
    seen = "***" if name in SECRETS else without_passwords(repr(values.get(name)))
    return f"{name} = {seen} ({origins.get(name, '?')}): {message.removeprefix('Value error, ')}"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    for name, value in values.items():
        if isinstance(value, dict) and name not in names():
            raise ConfigError(
                f"{path}: there are no sections such as [{name}]; settings stand at the top level"
            )
        _require_known(name, f"{path}: setting {name!r}", {n: n for n in names()})
        if name in FILES and isinstance(value, str):
            values[name] = path.parent / value  # a file speaks of its own surroundings
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    spelled = {ENVIRONMENT_PREFIX + name.upper(): name for name in names()}
    values = {}
    for variable, value in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == "CERTBOUND_HOME":
            continue
        _require_known(variable, f"environment variable {variable}", spelled)
        values[spelled[variable]] = value
    return values


def _require_known(name: str, what: str, known: Mapping[str, str]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    hint = f"; the nearest known name is {near[0]}" if near else ""
    raise ConfigError(f"{what} is unknown{hint}")
