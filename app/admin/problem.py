"""What an operator is told when an action cannot be done. Never a stack of calls."""

from enum import StrEnum


class Kind(StrEnum):
    """Whose move it is; the command line makes an exit code of it."""

    REFUSED = "refused"
    """The action would break a rule, or something was found that is not as it should be."""
    USAGE = "usage"
    """The action was asked for in a way that has no meaning."""
    ENVIRONMENT = "environment"
    """A file, the database or a server is not there or cannot be used."""


class Problem(Exception):
    """What happened, what was seen, what was expected, what to do: each one sentence or value.

    `command` is the pasteable form of what to do, as arguments of certbound. It never holds text
    that a stranger chose. The other members may, so whoever prints them escapes them.
    """

    def __init__(
        self,
        message: str,
        *,
        seen: str = "",
        expected: str = "",
        action: str = "",
        command: tuple[str, ...] = (),
        kind: Kind = Kind.REFUSED,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.seen = seen
        self.expected = expected
        self.action = action
        self.command = command
        self.kind = kind
