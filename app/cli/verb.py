"""Turns a function into a command: every command takes ``--home`` and ``--json`` and prints a page."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.page import Page
from app.cli.session import Session, named_home

Home = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Home directory; default: CERTBOUND_HOME, else the current directory.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]

Body = Callable[..., Page]
"""``(session, ...options) -> Page``; the options are Typer parameters."""


def group(summary: str) -> typer.Typer:
    """An empty noun: `verb` adds its commands."""
    return typer.Typer(
        help=summary,
        short_help=summary,  # never cut, unlike what Typer takes from the help
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def verb(app: typer.Typer, name: str, *, takes_thumbprint: bool = False) -> Callable[[Body], Body]:
    """Register a function as the command `name`; its docstring is the help text.

    A parameter whose type is a dataclass stands for options of the names of its fields.
    One thumbprint in 64 begins with a hyphen: `takes_thumbprint` reads what is no option as a value.
    """
    settings = {"ignore_unknown_options": takes_thumbprint}

    def register(body: Body) -> Body:
        text = inspect.getdoc(body) or ""
        short = text.partition("\n\n")[0]
        app.command(name, help=text, short_help=short, context_settings=settings)(
            _with_common_options(body)
        )
        return body

    return register


def _with_common_options(body: Body) -> Callable[..., int]:
    own = [p for p in inspect.signature(body).parameters.values() if p.name != "session"]
    common = [
        inspect.Parameter("home", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Home),
        inspect.Parameter(
            "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json
        ),
    ]

    def run(*, home: Path | None, as_json: bool, **options: Any) -> int:
        session = Session(home or named_home(), as_json)
        page = body(session, **_gathered(own, options))
        session.emit(page)
        return page.code

    functools.update_wrapper(run, body, assigned=("__module__", "__name__", "__doc__"))
    parameters = [*(option for p in own for option in _options(p)), *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # type: ignore[attr-defined] # its signature is not ours
    return run


def _options(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    if not dataclasses.is_dataclass(parameter.annotation):
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in dataclasses.fields(parameter.annotation)
    ]


def _gathered(own: list[inspect.Parameter], options: dict[str, Any]) -> dict[str, Any]:
    """The options as `own` names them, those of a dataclass put together."""
    found = {}
    for parameter in own:
        make: Any = parameter.annotation
        if dataclasses.is_dataclass(parameter.annotation):
            names = [field.name for field in dataclasses.fields(parameter.annotation)]
            found[parameter.name] = make(**{name: options[name] for name in names})
        else:
            found[parameter.name] = options[parameter.name]
    return found
