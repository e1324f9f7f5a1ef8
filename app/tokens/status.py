"""Places on status lists: each token gets one that nobody can guess from another.

Guarantees: a process gives a place once, and no two processes share a list, so they need not agree
about anything; a token outlives its list nowhere, not even where a resource's clock is behind. The place says nothing of how many tokens were
issued, or when (Token Status List, section 13.3: indices are random). Not here: what a list says;
that is read from the tokens' rows.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.store.status_lists import StatusListRow
from app.store.tokens import KEPT_AFTER

SIZE = 1 << 20
"""Places on a list: 128 KiB of bits, some 200 octets while nothing is revoked. One list carries an
hour at 290 tokens per second, or five minutes at 3,500."""
OPEN_FOR = 6 * 3600
"""Seconds that a list takes new tokens, so that a quiet server's lists end too. The longer, the
less a fetched list tells about whose token was seen."""
_HALF = SIZE.bit_length() // 2
_MASK = (1 << _HALF) - 1
_ROUNDS = 4
"""Of a Feistel network over truly random tables: four make a permutation that looks random
(Luby and Rackoff)."""


@dataclass(frozen=True, slots=True)
class Place:
    """One token's place."""

    list: StatusListRow
    index: int
    uri: str
    """Of the list."""


class StatusLists:
    """One per process. Any thread may ask for a place."""

    def __init__(self, url: Callable[[str], str], longest_life: int) -> None:
        """`url` makes a list's URL of its id; `longest_life` is of a token, in seconds."""
        self._url = url
        self._longest_life = longest_life
        self._taking = threading.Lock()
        self._list: StatusListRow | None = None
        self._uri = ""
        self._given = 0
        self._tables: list[list[int]] = []

    def place(self, now: int) -> Place:
        """A place that was never given before. One whose token is not issued stays empty."""
        with self._taking:
            row = self._list
            if row is None or self._given == SIZE or not 0 <= now - row.opened_at < OPEN_FOR:
                row = self._open(now)
            index = _permuted(self._given, self._tables)
            self._given += 1
            return Place(row, index, self._uri)

    def _open(self, now: int) -> StatusListRow:
        row = StatusListRow(
            id=secrets.token_urlsafe(12),
            opened_at=now,
            ends_at=now + OPEN_FOR + self._longest_life + KEPT_AFTER,
        )
        self._list, self._uri, self._given = row, self._url(row.id), 0
        self._tables = [
            [secrets.randbelow(1 << _HALF) for _ in range(1 << _HALF)] for _ in range(_ROUNDS)
        ]
        return row


def _permuted(number: int, tables: list[list[int]]) -> int:
    left, right = number >> _HALF, number & _MASK
    for table in tables:
        left, right = right, left ^ table[right]
    return left << _HALF | right
