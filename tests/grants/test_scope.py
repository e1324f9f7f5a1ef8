"""RFC 6749 section 3.3: scope-tokens separated by single spaces, and nothing unbounded."""

import pytest

from app.errors import InvalidScope
from app.grants.scope import MAX_LENGTH, is_scope_token, parse_scope


def test_absent_is_not_empty() -> None:
    """No parameter asks for the default; that is not the same as asking for nothing."""
    assert parse_scope(()) is None


def test_each_scope_once_in_the_order_given() -> None:
    """A repeated scope is one scope."""
    assert parse_scope(("b a b",)) == ("b", "a")


@pytest.mark.parametrize(
    "text",
    [
        " a",
        "a ",
        "a  b",
        "a\tb",
        'a"b',
        "a\\b",
        "ä",
        "a\u00a0b",
        "x" * (MAX_LENGTH + 1),
        " ".join("s" for _ in range(101)),
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    """Characters outside the grammar, double spaces, and lists past the caps."""
    with pytest.raises(InvalidScope):
        parse_scope((text,))


def test_fifty_thousand_characters_cost_nothing() -> None:
    """CVE-2026-4634: a peer burnt its CPU on one long scope; here length is looked at first."""
    with pytest.raises(InvalidScope):
        parse_scope(("a " * 25_000,))


@pytest.mark.parametrize(
    ("text", "fits"), [("api:read", True), ("!", True), ("", False), ("a b", False)]
)
def test_a_scope_token_has_no_space(text: str, fits: bool) -> None:  # noqa: FBT001 - a table's column
    """Registration uses the same grammar as requests."""
    assert is_scope_token(text) is fits
