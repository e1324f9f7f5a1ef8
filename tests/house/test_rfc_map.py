"""The RFC map of app/README.md: how it is read from the code, and that nothing escapes it."""

import ast
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_MAP = runpy.run_path(str(ROOT / "scripts" / "rfc_map.py"))
mentions: Callable[[str], Iterator[tuple[int, str]]] = _MAP["mentions"]
section_of: Callable[[str], tuple[str, str]] = _MAP["section_of"]
prose: Callable[[str], Iterator[str]] = _MAP["prose"]
collect: Callable[[Path], dict[tuple[int, str], Any]] = _MAP["collect"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(RFC 8705 section 2.1.2).", [(8705, "2.1.2")]),
        ("RFC 9112 sections 3.2 and 3.2.1", [(9112, "3.2"), (9112, "3.2.1")]),
        ("RFC 7518 sections 3.3, 3.4 and 3.5;", [(7518, "3.3"), (7518, "3.4"), (7518, "3.5")]),
        ("RFC 8705 §3.1, RFC 7519 §4.1.7", [(8705, "3.1"), (7519, "4.1.7")]),
        ("RFC 6749 appendix A.4 and appendix B", [(6749, "A.4")]),
        ("RFC 8725 sections 3.10, RFC 7797", [(8725, "3.10"), (7797, "")]),
        ("RFC 6749\n    section 5.2: one text", [(6749, "5.2")]),
        ("RFC 8414 lists 3 of them, RFC 5280 path 2", [(8414, ""), (5280, "")]),
        ("not an rfc 8705, nor RFC 12 or RFC1234", []),
    ],
)
def test_a_mention_is_understood(text: str, expected: list[tuple[int, str]]) -> None:
    """Every spelling the code uses, over line ends, without taking other numbers along."""
    assert list(mentions(text)) == expected


def test_docstrings_and_comments_count_and_code_does_not() -> None:
    """A string that is a value says nothing about what a file does."""
    source = '"""One."""\nX = "value"\n"""Two."""\n# three\n# four\nY = 1  # five\n'
    found = " | ".join(prose(source))
    for word in ("One", "Two", "three four", "five"):
        assert word in found
    assert "value" not in found


def test_a_name_tells_section_and_promise() -> None:
    """Sections by number, appendices by letter, the rest is the promise."""
    assert section_of("test_section_2_1_2_each_one") == ("2.1.2", "each one")
    assert section_of("test_appendix_a_4_the_grammar") == ("A.4", "the grammar")
    with pytest.raises(ValueError, match="test_something"):
        section_of("test_something")


def test_every_specification_tested_is_named_where_it_is_built() -> None:
    """For each file of tests/rfc/ some file of app/ names that RFC in a docstring or comment."""
    found = collect(ROOT)
    built = {number for (number, _), row in found.items() if row.files}
    tested = {number for (number, _), row in found.items() if row.promises}
    files = {int(p.stem.removeprefix("test_rfc")) for p in (ROOT / "tests/rfc").glob("test_*.py")}
    assert tested == files
    assert tested <= built


def test_the_floor_plan_names_every_room() -> None:
    """A new room stands in the layers of pyproject.toml, so it stands in app/README.md."""
    text = (ROOT / "app" / "README.md").read_text(encoding="utf-8")
    rooms = {p.name.removesuffix(".py") for p in (ROOT / "app").iterdir()} - {
        "__init__",
        "__pycache__",
        "README.md",
    }
    assert rooms == set(re.findall(r"^\| \d+ \| `(\w+)`", text, re.MULTILINE))


def test_files_named_in_the_floor_plan_exist() -> None:
    """Each path in the hand-written part of app/README.md is a file or folder."""
    text = (ROOT / "app" / "README.md").read_text(encoding="utf-8").partition("## RFC map")[0]
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_0-9-]+\.\w+)?|[a-z_]+\.py)`", text))
    assert len(named) > 20
    for name in named:
        assert any((folder / name).exists() for folder in (ROOT / "app", ROOT)), name


def test_no_test_of_a_specification_is_lost() -> None:
    """Functions of tests/rfc/ are all tests or used by them; each appears in the map."""
    found = collect(ROOT)
    promises = [promise for row in found.values() for promise in row.promises]
    count = sum(
        node.name.startswith("test_")
        for path in (ROOT / "tests" / "rfc").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert len(promises) == count
