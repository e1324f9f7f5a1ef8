"""Whether what can be read is on disk, for marks that outlive the database.

PostgreSQL lets nobody read what is not. SQLite may: a commit whose log could not be synchronized
fails, and yet is read by the next process that opens the file, until the disk's failure has passed
and took it along.
"""

import sqlite3
import time

from app.store.engine import Database, StoreUnavailable, mapped

_TRIES = 20
"""10 ms apart: another process's checkpoint takes less."""


def settle(db: Database) -> None:
    """Return once all that can be read by now is on disk; raises `StoreUnavailable`."""
    if db.dialect != "sqlite":
        return
    with mapped():
        connection = db.raw_writer()
    try:
        for _ in range(_TRIES):
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            row = cursor.fetchone()
            cursor.close()
            if row is not None and not row[0]:  # else another process is at it
                return
            time.sleep(0.01)
    except sqlite3.Error as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        connection.close()
    raise StoreUnavailable("others write the log back all the time")
