"""What a chain of checkpoints says together, taken in one by one: where every stream stood last.

Guarantees that each one taken in follows from the one before: its number, its hash, and no stream
forgotten or turned back. Not here: whether the entries in the database agree.
"""

from dataclasses import dataclass, field

from app.keys.checkpoint import Checkpoint
from app.store.streams import Head


@dataclass(slots=True)
class Fold:
    """The state after the last checkpoint taken in; before the first, nothing is known."""

    last: Checkpoint | None = None
    heads: dict[str, Head] = field(default_factory=dict)
    begins: dict[str, Head] = field(default_factory=dict)

    def objection(self, following: Checkpoint) -> str | None:
        """Why `following` cannot stand behind what was taken in; None: it can."""
        last = self.last
        if last is not None and following.number != last.number + 1:
            return f"follows number {last.number}: those between are missing"
        if last is not None and following.previous != last.digest:
            return f"names another checkpoint {last.number} than the one that is here"
        return self.turned_back(following)

    def turned_back(self, following: Checkpoint) -> str | None:
        """Which stream `following` says has gone back, or forgets; None: none, however far ahead."""
        for writer, head in self.heads.items():
            if (found := following.streams.get(writer)) is not None:
                if found.seq < head.seq:
                    return f"says that stream {writer} went back from {head.seq} to {found.seq}"
            elif following.kind != "heads":
                return f"says nothing of stream {writer}"
        return None

    def take(self, following: Checkpoint) -> None:
        """Go on from `following`, objections or not."""
        if following.kind == "heads":
            self.heads.update(following.streams)
        else:
            self.heads = dict(following.streams)
            self.begins = dict(following.begins)
        self.last = following
