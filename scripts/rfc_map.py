"""Which file and which test stands for which section of an RFC, read from docstrings and comments.

A file stands for every section that a docstring or comment in it names ("RFC 8705 section 2.1",
"RFC 9112 sections 3.2 and 3.2.1", "RFC 6749 appendix A.4"). A test in ``tests/rfc/`` stands for the
RFC of its file and the section in its name; other test files for what their docstrings name. Nothing is listed by hand, so nothing can be forgotten
here; what no docstring names is not in the map.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PLACE = r"(?:[0-9]+|[A-Z])(?:\.[0-9]+)*(?![0-9A-Za-z])"
_MENTION = re.compile(
    rf"RFC (?P<number>[0-9]{{4,5}})(?!-)"
    rf"(?: ?(?:sections?|§§?|appendix) ?(?P<places>{_PLACE}(?:(?:, | and |, and ){_PLACE})*))?"
)
_TEST = re.compile(r"test_(?:section_(?P<section>[0-9]+(?:_[0-9]+)*)|appendix_(?P<appendix>[a-z](?:_[0-9]+)*))_(?P<promise>.+)")  # fmt: skip

Section = tuple[int, str]
"""RFC number, and its section; empty where the RFC as a whole is meant."""


class NameWithoutSection(ValueError):
    """A test in ``tests/rfc/`` whose name does not say which section it is about."""


@dataclass
class Row:
    """Who stands for one section."""

    files: set[str] = field(default_factory=set)
    """Below ``app/``."""
    promises: list[str] = field(default_factory=list)
    """Of the tests in ``tests/rfc/``."""
    elsewhere: set[str] = field(default_factory=set)
    """Test files of the rooms, below ``tests/``."""


def mentions(text: str) -> Iterator[Section]:
    """Every section that a text names."""
    for found in _MENTION.finditer(" ".join(text.split())):
        number = int(found["number"])
        for place in re.findall(_PLACE, found["places"] or "") or [""]:
            yield number, place


def section_of(test: str) -> tuple[str, str]:
    """Section and promise in the name of a test.

    Raises:
        NameWithoutSection: there is none.

    """
    found = _TEST.fullmatch(test)
    if found is None:
        raise NameWithoutSection(test)
    place = found["section"] or found["appendix"].upper()
    return place.replace("_", "."), found["promise"].replace("_", " ")


def collect(root: Path) -> dict[Section, Row]:
    """The map of the repository at `root`."""
    rows: defaultdict[Section, Row] = defaultdict(Row)
    for path in sorted((root / "app").rglob("*.py")):
        for section in named_in(path):
            rows[section].files.add(str(path.relative_to(root / "app")))
    for path in sorted((root / "tests").rglob("test_*.py")):
        for section in named_in(path) if path.parent.name not in ("rfc", "house") else ():
            rows[section].elsewhere.add(str(path.relative_to(root / "tests")))
    for path in sorted((root / "tests" / "rfc").glob("test_rfc*.py")):
        number = int(path.stem.removeprefix("test_rfc"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                place, promise = section_of(node.name)
                rows[number, place].promises.append(promise)
    return dict(rows)


def named_in(path: Path) -> set[Section]:
    """Every section that a Python file names."""
    return {s for text in prose(path.read_text(encoding="utf-8")) for s in mentions(text)}


def prose(source: str) -> Iterator[str]:
    """Docstrings, those of attributes included, and runs of comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
    run: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if run and token.start[0] != last + 1:
                yield " ".join(run)
                run = []
            run.append(token.string.lstrip("# "))
            last = token.start[0]
    yield " ".join(run)


def order(section: Section) -> tuple[int, bool, list[tuple[int, str]]]:
    """By number; the RFC as a whole first, appendices last."""
    number, place = section
    parts = [(int(part), "") if part.isdigit() else (0, part) for part in place.split(".") if part]
    return number, place[:1].isalpha(), parts
