"""The reason an operator gives for stopping something."""

from app.admin.problem import Problem

MAX_REASON = 500
"""Characters."""


def checked_reason(text: str) -> str:
    """The reason itself.

    Raises:
        Problem: it is longer than the audit takes.

    """
    if len(text) > MAX_REASON:
        raise Problem(
            "the reason is too long",
            seen=f"{len(text)} characters",
            expected=f"at most {MAX_REASON}",
        )
    return text
