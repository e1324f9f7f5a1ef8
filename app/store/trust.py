"""Named trust sets and their anchors. Changed inside `registry.change` only."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, select, update

from app.store.engine import insert_if_absent
from app.store.tables import trust_anchors, trust_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchorRow:
    """A CA certificate pinned by its hash; an intermediate only helps to build paths."""

    thumbprint: str
    der: bytes
    role: Literal["anchor", "intermediate"]
    subject: str
    not_after: int
    added_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSetRow:
    """A name that clients refer to, with its members in order of thumbprint."""

    name: str
    description: str
    created_at: int
    updated_at: int
    anchors: tuple[TrustAnchorRow, ...] = ()


def add_set(conn: Connection, name: str, description: str, at: int) -> bool:
    """Make an empty trust set; False when the name is taken."""
    values = {"name": name, "description": description, "created_at": at, "updated_at": at}
    return insert_if_absent(conn, trust_sets, values)


def add_anchor(conn: Connection, trust_set: str, anchor: TrustAnchorRow) -> bool:
    """Put a certificate into a set; False when it is a member, in whichever role.

    Raises `sqlalchemy.exc.IntegrityError` for an unknown set.
    """
    values = {
        "trust_set": trust_set,
        "thumbprint": anchor.thumbprint,
        "der": anchor.der,
        "role": anchor.role,
        "subject": anchor.subject,
        "not_after": anchor.not_after,
        "added_at": anchor.added_at,
    }
    added = insert_if_absent(conn, trust_anchors, values)
    if added:
        _touch(conn, trust_set, anchor.added_at)
    return added


def remove_anchor(conn: Connection, trust_set: str, thumbprint: str, at: int) -> bool:
    """Take one certificate out of a set; False when it is no member."""
    query = delete(trust_anchors).where(
        trust_anchors.c.trust_set == trust_set, trust_anchors.c.thumbprint == thumbprint
    )
    removed = conn.execute(query).rowcount == 1
    if removed:
        _touch(conn, trust_set, at)
    return removed


def remove_set(conn: Connection, name: str) -> bool:
    """Remove a set with its members; clients that name it then trust nobody through it."""
    return conn.execute(delete(trust_sets).where(trust_sets.c.name == name)).rowcount == 1


def listed(conn: Connection) -> Sequence[TrustSetRow]:
    """Every set with its members, by name."""
    members: defaultdict[str, list[TrustAnchorRow]] = defaultdict(list)
    anchors = select(trust_anchors).order_by(trust_anchors.c.thumbprint)
    for row in conn.execute(anchors).mappings():
        fields = dict(row)
        members[fields.pop("trust_set")].append(TrustAnchorRow(**fields))
    return [
        TrustSetRow(**row, anchors=tuple(members[row["name"]]))
        for row in conn.execute(select(trust_sets).order_by(trust_sets.c.name)).mappings()
    ]


def _touch(conn: Connection, name: str, at: int) -> None:
    conn.execute(update(trust_sets).where(trust_sets.c.name == name).values(updated_at=at))
