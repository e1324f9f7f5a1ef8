"""A command's way to the admin room: opens the desk of the session's home."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.admin.desk import Desk, at_desk
from app.cli.session import Session


@contextmanager
def desk_of(session: Session) -> Iterator[Desk]:
    """The desk over the session's database.

    Raises:
        Problem: there is none that this release can use.
        StoreUnavailable: it does not answer.

    """
    with at_desk(session.settings) as desk:
        yield desk
