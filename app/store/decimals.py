"""Whole numbers too wide for an integer column (RFC 5280 allows 160 bits), kept as decimal text."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_


def canonical(number: int) -> str:
    """The one spelling that compares. Raises `ValueError` for a negative number."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    return str(number)


def at_most(stored: ColumnElement[Any], number: str) -> ColumnElement[bool]:
    """Whether the stored decimal is not above this one; empty text, for no number, is below all."""
    length = func.length(stored)  # of two decimals of one length, the text order is theirs
    return or_(length < len(number), and_(length == len(number), stored <= number))
