"""A connection that one thread keeps from transaction to transaction: a third of the cost.

Guarantees what a connection of the pool does, for one thread at a time: after a failure the next
transaction takes another one. Opened and committed through `app.store.engine.Database` only.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError


class Kept:
    """Of one database, for writing or for reading, one transaction at a time."""

    def __init__(self) -> None:
        self._conn: Connection | None = None

    def connection(self, engine: Engine) -> Connection:
        """The one kept, or one from now on."""
        if self._conn is None:
            self._conn = engine.connect()
        return self._conn

    def close(self) -> None:
        """End it; what it had begun is undone."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(DBAPIError):  # it is broken, and forgotten
                if not conn.invalidated:
                    conn.detach()  # its pool may be disposed of by now, and would not close it
                conn.close()


@contextmanager
def transaction(engine: Engine, kept: Kept | None) -> Iterator[Connection]:
    """One transaction, on a connection of the pool or on the one kept."""
    if kept is None:
        with engine.connect() as conn, conn.begin():
            yield conn
        return
    try:
        conn = kept.connection(engine)
        with conn.begin():
            yield conn
    except BaseException:
        kept.close()
        raise
