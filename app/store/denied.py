"""The local deny-list: certificates nobody may use, whatever vouches for them.

Changed inside `registry.change`, so that no token for one is recorded after that returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, select, update

from app.store.engine import insert_if_absent
from app.store.tables import denied

Kind = Literal["thumbprint", "spki", "issuer_serial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedRow:
    """One entry, with who denied it and why."""

    kind: Kind
    value: str
    reason: str
    actor: str
    created_at: int
    tbs_sha256: str = ""
    """Of a thumbprint's certificate, as far as it was known: the same content under another
    signature is denied with it."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The deny-list as decisions read it."""

    thumbprints: frozenset[str] = frozenset()
    spkis: frozenset[str] = frozenset()
    """As `spki_sha256`."""
    issuer_serials: frozenset[str] = frozenset()
    """As `issuer_serial` writes them."""
    contents: frozenset[str] = frozenset()
    """As `tbs_sha256`, of the certificates denied by their thumbprint."""


def issuer_serial(issuer: str, serial: str) -> str:
    """The value that names a certificate by its issuer (RFC 4514) and hexadecimal serial."""
    return f"{serial} {issuer}"


def deny(
    conn: Connection,
    kind: Kind,
    value: str,
    *,
    reason: str,
    actor: str,
    at: int,
    tbs_sha256: str = "",
) -> bool:
    """Refuse it from this commit on; False when it is denied already.

    A `tbs_sha256` that was not known before is added to the entry.
    """
    values = {"kind": kind, "value": value, "reason": reason, "actor": actor, "created_at": at}
    if insert_if_absent(conn, denied, {**values, "tbs_sha256": tbs_sha256}):
        return True
    if not tbs_sha256:
        return False
    entry = denied.c
    unknown = (entry.kind == kind) & (entry.value == value) & (entry.tbs_sha256 == "")
    return conn.execute(update(denied).where(unknown).values(tbs_sha256=tbs_sha256)).rowcount == 1


def allow(conn: Connection, kind: Kind, value: str) -> bool:
    """Take it off the list; False when it is not on it."""
    query = delete(denied).where(denied.c.kind == kind, denied.c.value == value)
    return conn.execute(query).rowcount == 1


def listed(conn: Connection) -> Sequence[DeniedRow]:
    """Every entry, oldest first."""
    query = select(denied).order_by(denied.c.created_at, denied.c.kind, denied.c.value)
    return [DeniedRow(**row) for row in conn.execute(query).mappings()]


def snapshot(conn: Connection) -> Denied:
    """The whole list for the registry."""
    values: dict[str, list[str]] = {"thumbprint": [], "spki": [], "issuer_serial": []}
    contents = []
    for kind, value, tbs in conn.execute(
        select(denied.c.kind, denied.c.value, denied.c.tbs_sha256)
    ):
        values[kind].append(value)
        contents.append(tbs)
    return Denied(
        frozenset(values["thumbprint"]),
        frozenset(values["spki"]),
        frozenset(values["issuer_serial"]),
        frozenset(filter(None, contents)),
    )
