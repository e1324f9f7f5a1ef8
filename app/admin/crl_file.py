"""Loading a certificate revocation list from a file, judged before it replaces the old one.

Guarantees that a list which its CA did not sign, that is older than the one at hand, or of a kind
whose silence proves nothing (delta, indirect) changes nothing; a good one counts from the next
request on, in every process, however long it is: requests of its trust set wait until the process
has parsed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.admin.cascade import revoke_listed
from app.admin.desk import Desk
from app.admin.files import read
from app.admin.problem import Problem
from app.admin.trust_known import find, set_of
from app.audit import CrlReplaced
from app.pki import crl as crl_reader
from app.pki import dn
from app.pki.anchors import material
from app.pki.crl import LoadedCrl
from app.pki.crl_entries import serial_key
from app.store import audit, crls, registry, trust, uses
from app.store.crls import CrlRow
from app.store.tokens import Outstanding
from app.store.trust import TrustSetRow
from app.store.uses import UseRow


@dataclass(frozen=True, slots=True)
class Loaded:
    """A list that was loaded."""

    row: CrlRow
    issuer: str
    replaced: CrlRow | None
    policy: TrustSetRow
    """The set, whose policy says whether the list is asked at all."""
    stale: str | None
    """Why it shows the past only; None: it is fresh."""
    stops: tuple[UseRow, ...]
    """Certificates it revokes that clients were seen with and that are in date still."""
    tokens: Outstanding
    """Unexpired tokens bound to certificates it revokes: revoked with it, if the set asks lists."""


def load(desk: Desk, name: str, path: Path) -> Loaded:
    """Make the list in `path` the one of its CA in this set.

    Raises:
        Problem: there is no such set, or the list cannot be used, with the reason.

    """
    # PEM is a third longer; `load_crl` has the cap for what is inside.
    data = read(path, at_most=2 * crl_reader.MAX_BYTES)
    with desk.db.read() as conn:
        known = find(trust.listed(conn), name)
    now = clock.now()
    judged = _judged(path, known, data, now)
    row = CrlRow(
        trust_set=name,
        issuer_key=judged.issuer_key,
        digest=judged.digest,
        number=str(judged.number),
        this_update=judged.this_update,
        next_update=judged.next_update,
        loaded_at=now,
        entries=judged.entries.count,
        partition=judged.partition,
    )
    der = crl_reader.to_der(data)
    with registry.change(desk.db) as conn:
        # Asked again inside: the signer may have left the set meanwhile.
        known = find(trust.listed(conn), name)
        _require_signer(path, known, judged)
        before = _stored(row, crls.listed(conn))
        if not crls.replace_crl(conn, row, der):
            raise _older(path, row, before)
        stops = tuple(
            use
            for use in uses.last_used_by_trust(conn, name, dn.shown(judged.issuer))
            if use.not_after > now and judged.revoked(serial_key(int(use.serial, 16)))
        )
        details: dict[str, object] = {
            "trust_set": name,
            "issuer": dn.shown(judged.issuer),
            "number": row.number,
            "partition": row.partition,
            "entries": row.entries,
            "sha256": row.digest,
        }
        audit.append_admin(conn, CrlReplaced(actor=desk.actor, details=details))
        gone = Outstanding(count=0, until=None)
        if known.revocation.mode == "crl":
            gone = revoke_listed(conn, desk.actor, [judged], now, CrlReplaced.name)
    stale = judged.stale(now, known.revocation.max_staleness)
    return Loaded(row, dn.shown(judged.issuer), before, known, stale, stops, gone)


def _judged(path: Path, known: TrustSetRow, data: bytes, now: int) -> LoadedCrl:
    try:
        found = crl_reader.load_for(set_of(known), data)
    except ValueError as error:
        raise _unusable(path, known, str(error)) from error
    if found.this_update > now + crl_reader.CLOCK_SKEW:
        raise _unusable(path, known, f"it begins only at {clock.iso(found.this_update)}")
    return found


def _require_signer(path: Path, known: TrustSetRow, judged: LoadedCrl) -> None:
    try:
        judged.under(material(set_of(known)).signers_of_crls())
    except ValueError as error:
        raise _unusable(path, known, str(error)) from error


def _stored(row: CrlRow, rows: Sequence[CrlRow]) -> CrlRow | None:
    place = (row.trust_set, row.issuer_key, row.partition)
    return next(
        (one for one in rows if (one.trust_set, one.issuer_key, one.partition) == place), None
    )


def _unusable(path: Path, known: TrustSetRow, why: str) -> Problem:
    # Which CA to add is no advice here: nobody pins a CA in order to load its list.
    seen, _, stranger = why.partition("; add the CA ")
    authorities = [row.subject for row in known.anchors]
    return Problem(
        f"the CRL in {path} cannot be used",
        seen=seen,
        expected=f"a complete CRL, version 2, signed by a CA of {known.name} or by a signer it "
        f"certified; {known.name} holds {' and '.join(authorities) or 'none'}",
        action=("Load the list of that CA. " if stranger else "")
        + "A delegated signer joins the set with: certbound trust revocation "
        f"{known.name} crl --signer FILE",
    )


def _older(path: Path, row: CrlRow, before: CrlRow | None) -> Problem:
    at_hand = f"number {before.number} of {clock.iso(before.this_update)}" if before else "newer"
    return Problem(
        f"the CRL in {path} is older than the one at hand",
        seen=f"number {row.number} of {clock.iso(row.this_update)}",
        expected=f"the one at hand is {at_hand}; nothing was changed",
        action="Fetch the CA's latest CRL and load that.",
    )
