"""Text that somebody else wrote, made harmless for a terminal and for a shell."""

import shlex
import unicodedata

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, format characters (bidirectional ones among them), surrogates,
private and unassigned code points, line and paragraph separators."""


def escape(text: str) -> str:
    r"""`text` on one line, with every character that a terminal could act on written as ``\x1b``.

    Letters of every script stay. A backslash stays too, so the result is for reading, not for
    turning back.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - two hex digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four


def command_line(arguments: tuple[str, ...]) -> str:
    """A command that a POSIX shell reads back as exactly `arguments`.

    Raises:
        ValueError: an argument has a character that cannot be shown; such a line cannot be pasted.

    """
    if any(escape(argument) != argument for argument in arguments):
        raise ValueError("an argument with a character that cannot be shown")
    return shlex.join(arguments)
