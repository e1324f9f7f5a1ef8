"""Hears of registry changes at once, where the database tells of them: PostgreSQL.

Guarantees nothing that anything rests on: the registry is looked at every second all the same, and
at every commit. A lost connection is made anew, and the registry looked at after it.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import psycopg
from sqlalchemy import exc

from app.store.connect import ROW_LOCKS, make_engine
from app.store.engine import Database, StoreUnavailable
from app.store.registry import CHANNEL

_PAUSE = 1.0
"""Seconds between tries to connect."""
_LOOK = 0.5
"""Seconds after which `close` is noticed at the latest."""
_SILENCE = 20
"""Looks without a notice after which the server is asked whether it is still there: a connection that
somebody else holds open would be listened to for ever."""
_GATHER = 0.02
"""Seconds in which notices are one notice: every account of the database may send them."""


class Listening:
    """One connection of its own, in a thread; `changed` is called there."""

    def __init__(self, db: Database, changed: Callable[[], object]) -> None:
        self._url = db.url
        self._possible = db.dialect == "postgresql"
        self._changed = changed
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registry notices", daemon=True)

    def start(self) -> None:
        """Begin. Call after any fork."""
        if self._possible:
            self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK * 4)

    def _run(self) -> None:
        engine = make_engine(self._url, read_only=False)
        while not self._closing.is_set():
            with suppress(exc.DBAPIError, psycopg.Error, StoreUnavailable):
                raw = engine.raw_connection()
                try:
                    if raw.info.get(ROW_LOCKS):
                        break
                    self._listen(cast("psycopg.Connection", raw.driver_connection))
                finally:
                    raw.invalidate()  # it is in a state of its own: not for the pool
            self._closing.wait(_PAUSE)
        engine.dispose()

    def _listen(self, driver: psycopg.Connection) -> None:
        driver.rollback()
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}".encode())
        while not self._closing.is_set():
            self._changed()  # first of all: what came before we listened
            looks = 0
            while not self._closing.is_set():
                if list(driver.notifies(timeout=_LOOK, stop_after=1)):
                    self._closing.wait(_GATHER)
                    list(driver.notifies(timeout=0))
                    break
                looks += 1
                if looks % _SILENCE == 0:
                    driver.execute("SELECT 1")
