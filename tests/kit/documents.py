"""The documentation as programs: what its blocks say, and whether an output is the one shown.

In a ``console`` block a line that begins with ``$ `` is a command, lines that begin with ``> ``
(or are ``>``) continue it, and what follows up to the next command is its whole output. In a shown output ``…``
stands for anything within its line, and a line that is ``…`` alone for any lines, or none. An
``error_ref`` or a thumbprint in it is a sample: wherever it stands again, in an output or in a
command, the real one must stand, or is typed. A command must succeed unless the next one is
``echo $?``, which then shows how it ended. Words after ``console`` name programs the block needs
besides bash, curl, openssl and Python.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "app" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "tests" / "README.md",
)

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAMPLE = re.compile(
    # a reference as app.audit.new_ref makes them; a digit tells one from a long word
    r"(?<![\w-])(?:(?=[a-z]*[2-9])[2-9a-hjkmnp-z]{16}"
    # SHA-256 in base64url: x5t#S256, or the kid of a signing key
    r"|[A-Za-z0-9_-]{43})(?![\w-])"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command and the lines shown under it; None: nothing is shown, so nothing is compared."""

    command: str
    shown: tuple[str, ...] | None
    line: int
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document."""

    language: str
    needs: tuple[str, ...]
    text: str
    line: int

    @property
    def first_line(self) -> str:
        """What names the block in a list of exceptions."""
        return self.text.partition("\n")[0]

    def steps(self) -> list[Step]:
        """The commands of a ``console`` block."""
        found: list[Step] = []
        for number, line in enumerate(self.text.splitlines(), self.line + 1):
            if line.startswith("$ "):
                found.append(Step(line[2:], None, number))
                continue
            last = found.pop()
            if (line == ">" or line.startswith("> ")) and last.shown is None:
                found.append(Step(f"{last.command}\n{line[2:]}", None, last.line))
            else:
                found.append(Step(last.command, (*(last.shown or ()), line), last.line))
        return [_with_leave_to_fail(step, found[at + 1 :]) for at, step in enumerate(found)]


def _with_leave_to_fail(step: Step, later: list[Step]) -> Step:
    may_fail = bool(later) and later[0].command == "echo $?"
    return Step(step.command, step.shown, step.line, may_fail)


def blocks(document: str) -> list[Block]:
    """Every fenced block, in order."""
    return [
        Block(
            language=(words := match[1].split() or [""])[0],
            needs=tuple(words[1:]),
            text=match[2],
            line=document.count("\n", 0, match.start()) + 1,
        )
        for match in _FENCE.finditer(document)
    ]


def samples(text: str) -> list[str]:
    """The samples in `text`, in order."""
    return _SAMPLE.findall(text)


def compare(shown: tuple[str, ...], real: str, known: frozenset[str]) -> dict[str, str] | None:
    """What became of each sample in `shown`; None where `real` is not the shown output.

    Values in `known` are no samples: they have to be there as they stand.
    """
    names: dict[str, str] = {}
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "…" else _line_pattern(line, names, known) + r"\n"
        for line in shown
    )
    text = real if real.endswith("\n") or not real else f"{real}\n"
    found = re.fullmatch(pattern, text)
    if found is None:
        return None
    return {sample: found[name] for sample, name in names.items()}


def _line_pattern(line: str, names: dict[str, str], known: frozenset[str]) -> str:
    return "".join(
        "[^\n]*" if piece == "…" else _piece_pattern(piece, names, known)
        for piece in re.split("(…)", line)
    )


def _piece_pattern(piece: str, names: dict[str, str], known: frozenset[str]) -> str:
    pattern, position = "", 0
    for match in _SAMPLE.finditer(piece):
        if match[0] in known:
            continue
        pattern += re.escape(piece[position : match.start()])
        position = match.end()
        if match[0] in names:
            pattern += f"(?P={names[match[0]]})"
            continue
        names[match[0]] = f"sample{len(names)}"
        pattern += f"(?P<{names[match[0]]}>[A-Za-z0-9_-]{{{len(match[0])}}})"
    return pattern + re.escape(piece[position:])
