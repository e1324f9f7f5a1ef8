"""Characters that have no place in a name: what cannot be seen can only deceive.

Guarantees that a name which passed shows every character it has and in the order it has them.
Does not judge look-alikes (a Cyrillic letter beside Latin ones): names are compared exactly, so a
look-alike never matches; it merely looks alike to people.
"""

import unicodedata

# Cc: NUL, CR, LF, ESC, DEL … (C1 too); Cf: bidi controls, zero width, soft hyphen, tags;
# Cs: lone surrogates; Zl, Zp: line and paragraph separators; Cn: noncharacters and unassigned.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"})
# Letters and marks by category, yet drawn as nothing: grapheme joiner, Hangul fillers, Khmer
# inherent vowels, braille blank.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")


def forbidden(text: str) -> str | None:
    """The first character of `text` that no name may hold, as ``U+200B``; None when all are fit."""
    if text.isascii() and text.isprintable():
        return None
    for character in dict.fromkeys(text):  # each once, however long the text
        if character in _BLANK or unicodedata.category(character) in _CATEGORIES:
            return f"U+{ord(character):04X}"
    return None


def require_visible(text: str, where: str) -> str:
    """`text` itself; raises ValueError naming the character and `where` it stands."""
    if (bad := forbidden(text)) is not None:
        raise ValueError(f"{where} holds the invisible or control character {bad}")
    return text
