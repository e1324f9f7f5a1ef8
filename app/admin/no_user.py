"""URLs that an operator types have no user name and no password in them."""

from app.admin.problem import Problem
from app.unsaid import has_user, without_passwords


def require_no_user(url: str, what: str) -> None:
    """Refuse user information (RFC 3986 section 3.2.1). What cannot be read at all is not judged.

    `what`: ``a resource``, for the message, which has nothing of a password.

    Raises:
        Problem: there is some.

    """
    try:
        if not has_user(url):
            return
    except ValueError:
        return
    raise Problem(
        f"{what} has no user name and no password",
        seen=without_passwords(url)[:200],
        expected="a URL that anybody may read: it stands in tokens, metadata and the audit",
        action="Leave out what stands before the host, up to the @. A password that is in use is "
        "best replaced: shells and terminals keep what was typed.",
    )
