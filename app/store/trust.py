"""Named trust sets: members, bounds and revocation policy. Changed inside `registry.change` only.

Not here: what a bound means. A row says what an operator wrote down; `pki` judges by it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, and_, delete, func, or_, select, update

from app.store.decimals import at_most, canonical
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
class RevocationRow:
    """What must be known of a certificate before it is taken."""

    mode: Literal["off", "crl", "ocsp"] = "off"
    fail: Literal["hard", "soft"] = "hard"
    """What follows where nothing fresh is known: refuse, or take it and say so."""
    max_staleness: int = 0
    """Seconds since it was signed after which an answer does not count; 0: as long as it says."""
    urls: tuple[str, ...] = ()
    """Where CRLs are fetched from, or the OCSP responder; empty: CRLs come from files only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRow:
    """Where the anchors of a set come from by themselves."""

    source: str
    """A file's path or a URL."""
    max_staleness: int
    """Seconds after `fetched_at` for which the anchors still count."""
    sequence: int | None = None
    refresh_hint: int | None = None
    """Seconds."""
    fetched_at: int | None = None
    """None: never yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSetRow:
    """A name that clients refer to, with its members in order of thumbprint."""

    name: str
    description: str
    created_at: int
    updated_at: int
    anchors: tuple[TrustAnchorRow, ...] = ()
    permitted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """As `app.pki.permitted` wrote it; empty: any name."""
    revocation: RevocationRow = field(default_factory=RevocationRow)
    trust_domain: str | None = None
    bundle: BundleRow | None = None


def add_set(conn: Connection, name: str, description: str, at: int) -> bool:
    """Make an empty trust set without bounds; False when the name is taken."""
    values = {"name": name, "description": description, "created_at": at, "updated_at": at}
    return insert_if_absent(conn, trust_sets, values)


def describe(conn: Connection, name: str, description: str, at: int) -> bool:
    """Say for people what the set is for; False when it is unknown."""
    return _set(conn, name, at, {"description": description})


def permit(conn: Connection, name: str, names: Mapping[str, Sequence[str]], at: int) -> bool:
    """From this commit on the set vouches for these names only; False when it is unknown."""
    return _set(conn, name, at, {"permitted": dict(names)})


def set_policy(conn: Connection, name: str, policy: RevocationRow, at: int) -> bool:
    """From this commit on revocation is judged so; False when the set is unknown."""
    return _set(conn, name, at, {"revocation": asdict(policy)})


def set_trust_domain(conn: Connection, name: str, trust_domain: str | None, at: int) -> bool:
    """The set stands for this SPIFFE trust domain, or for none; False when it is unknown."""
    return _set(conn, name, at, {"trust_domain": trust_domain})


def follow_bundle(conn: Connection, name: str, bundle: BundleRow | None, at: int) -> bool:
    """The anchors come from this source from now on (None: by hand again).

    The members stay until `replace_bundle`. False when the set is unknown.
    """
    if bundle is None:
        return _set(conn, name, at, {"bundle": None})
    number = "" if bundle.sequence is None else canonical(bundle.sequence)
    return _set(conn, name, at, {"bundle": {**asdict(bundle), "sequence": number}})


def replace_bundle(
    conn: Connection,
    name: str,
    anchors: Collection[TrustAnchorRow],
    *,
    sequence: int | None,
    refresh_hint: int | None,
    at: int,
) -> bool:
    """Make these the set's anchors, fetched at `at`; intermediates and known anchors' dates stay.

    False, and nothing changed, when the set follows no bundle, or when its sequence would go back
    (having none after having had one counts as back). No anchors at all is taken as it is: the set
    then vouches for nobody. Raises `ValueError` for a negative sequence.
    """
    number = "" if sequence is None else canonical(sequence)
    table = trust_sets.c
    stored = conn.execute(select(table.bundle).where(table.name == name)).scalar_one_or_none()
    if stored is None:
        return False
    bundle = {**stored, "sequence": number, "refresh_hint": refresh_hint, "fetched_at": at}
    known = func.coalesce(table.bundle["sequence"].as_string(), "")
    not_back = at_most(known, number)
    query = update(trust_sets).where(table.name == name, table.bundle.is_not(None), not_back)
    if conn.execute(query.values(bundle=bundle, updated_at=at)).rowcount != 1:
        return False
    _swap_anchors(conn, name, anchors)
    return True


def add_anchor(conn: Connection, trust_set: str, anchor: TrustAnchorRow) -> bool:
    """Put a certificate into a set; False when it is a member, in whichever role.

    Raises `sqlalchemy.exc.IntegrityError` for an unknown set.
    """
    added = _insert(conn, trust_set, anchor)
    if added:
        _set(conn, trust_set, anchor.added_at, {})
    return added


def remove_anchor(conn: Connection, trust_set: str, thumbprint: str, at: int) -> bool:
    """Take one certificate out of a set; False when it is no member."""
    query = delete(trust_anchors).where(
        trust_anchors.c.trust_set == trust_set, trust_anchors.c.thumbprint == thumbprint
    )
    removed = conn.execute(query).rowcount == 1
    if removed:
        _set(conn, trust_set, at, {})
    return removed


def remove_set(conn: Connection, name: str) -> bool:
    """Remove a set with its members and CRLs; who names it then trusts nobody through it."""
    return conn.execute(delete(trust_sets).where(trust_sets.c.name == name)).rowcount == 1


def listed(conn: Connection) -> Sequence[TrustSetRow]:
    """Every set with its members, by name."""
    members: defaultdict[str, list[TrustAnchorRow]] = defaultdict(list)
    anchors = select(trust_anchors).order_by(trust_anchors.c.thumbprint)
    for row in conn.execute(anchors).mappings():
        fields = dict(row)
        members[fields.pop("trust_set")].append(TrustAnchorRow(**fields))
    rows = conn.execute(select(trust_sets).order_by(trust_sets.c.name)).mappings()
    return [_trust_set(row, tuple(members[row["name"]])) for row in rows]


def _trust_set(row: RowMapping, anchors: tuple[TrustAnchorRow, ...]) -> TrustSetRow:
    own: dict[str, Any] = {
        "revocation": _revocation(row["revocation"]),
        "bundle": _bundle(row["bundle"]) if row["bundle"] else None,
    }
    return TrustSetRow(**{**row, **own, "anchors": anchors})


def _revocation(stored: Mapping[str, Any]) -> RevocationRow:
    return RevocationRow(**{**stored, "urls": tuple(stored.get("urls", ()))})


def _bundle(stored: Mapping[str, Any]) -> BundleRow:
    # A decimal, since it may be wider than what a database takes for an integer in JSON.
    number = stored["sequence"]
    return BundleRow(**{**stored, "sequence": int(number) if number else None})


def _insert(conn: Connection, trust_set: str, anchor: TrustAnchorRow) -> bool:
    return insert_if_absent(conn, trust_anchors, {"trust_set": trust_set, **asdict(anchor)})


def _swap_anchors(conn: Connection, name: str, anchors: Collection[TrustAnchorRow]) -> None:
    member = trust_anchors.c
    fresh = [anchor.thumbprint for anchor in anchors]
    dropped = and_(member.role == "anchor", member.thumbprint.not_in(fresh))
    promoted = and_(member.role == "intermediate", member.thumbprint.in_(fresh))
    conn.execute(delete(trust_anchors).where(member.trust_set == name, or_(dropped, promoted)))
    for anchor in anchors:
        _insert(conn, name, anchor)


def _set(conn: Connection, name: str, at: int, values: Mapping[str, object]) -> bool:
    query = update(trust_sets).where(trust_sets.c.name == name)
    return conn.execute(query.values({**values, "updated_at": at})).rowcount == 1
