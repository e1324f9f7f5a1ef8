"""Content negotiation: an explicit wish counts, doubt does not."""

import pytest

from app.web.accept import MAX_ACCEPT, prefers

JWT = "application/token-introspection+jwt"
JSON = "application/json"


@pytest.mark.parametrize(
    "accept",
    [
        [JWT],
        ["Application/Token-Introspection+JWT"],
        [f"{JWT};q=0.5"],
        [f"{JWT}, */*;q=0.1"],
        [f"{JSON};q=0.9, {JWT}"],
        [f"{JWT} ; q=1.000 , {JSON} ; q=0.999"],
        [f"{JSON};q=0.1", JWT],
        [f"application/*, {JSON};q=0"],
        [f"{JWT};charset=utf-8"],
        [f", ,{JWT},"],
    ],
)
def test_the_jwt_where_it_is_rated_higher(accept: list[str]) -> None:
    """By name and quality; the most specific range rates."""
    assert prefers(accept, JWT, JSON)


@pytest.mark.parametrize(
    "accept",
    [
        [],
        [""],
        ["*/*"],
        ["application/*"],
        [JSON],
        ["text/html"],
        [f"{JWT}, {JSON}"],
        [f"{JWT};q=0"],
        [f"{JWT};q=0.000"],
        [f"{JWT};q=0.5, {JSON};q=0.6"],
        [f"{JWT};q=0.5, */*"],
        [f"{JWT};q=2"],
        [f"{JWT};q=-1"],
        [f"{JWT};q=1.1"],
        [f"{JWT};q=nan"],
        [f"{JWT};q=0.1234"],
        [f"{JWT};q="],
        [f"{JWT};q=0.5;q=1"[:-4] + ";q=x", JSON],
        [f"{JWT}, nonsense"],
        [f"{JWT}, /"],
        [f'{JWT};x="a'],
        [JWT + "x"],
        [JWT + " " * MAX_ACCEPT],
    ],
)
def test_else_the_default(accept: list[str]) -> None:
    """Also where the header cannot be read, or is endless."""
    assert not prefers(accept, JWT, JSON)


def test_no_header_takes_long() -> None:
    """The longest header that is read, full of what makes naive patterns explode."""
    for piece in ("a/b;", " ;", ";q", "a/", ", "):
        assert not prefers([piece * (MAX_ACCEPT // len(piece))], JWT, JSON)
