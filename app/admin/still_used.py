"""Which of a client's certificates its instances may still hold, and which of them are stopped already.

Goes by the uses that the journal recorded with the tokens, and by what is loaded here. Guarantees
nothing that decisions depend on: an instance that never asked for a token is not known.
"""

from collections.abc import Iterable, Sequence

from app.admin.desk import Desk
from app.admin.trust_known import set_of
from app.pki import crl, dn
from app.pki.crl_entries import serial_key
from app.store import crls, denied, trust
from app.store.denied import issuer_serial
from app.store.uses import QUIET, UseRow


def still_used(used: Iterable[UseRow]) -> list[UseRow]:
    """Those of one client that no later one took the place of, the last used first.

    A certificate that was used since its successor appeared is still in some instance's hands,
    whichever of the two was used last; not so when only the successor was used for `QUIET`.
    """
    known = sorted(used, key=lambda one: (-one.last_used, -one.first_used))
    return [old for old in known if not any(_replaces(new, old) for new in known)]


def stopped(desk: Desk, used: Sequence[UseRow]) -> frozenset[str]:
    """Thumbprints of those that the deny-list or a loaded CRL of their trust set stops.

    Reads the lists of sets that ask them: seconds for one of a million entries.
    """
    with desk.db.read() as conn:
        list_ = denied.snapshot(conn)
        sets = [row for row in trust.listed(conn) if row.revocation.mode == "crl"]
        names = {use.trust_set for use in used}
        loaded = [
            (row, crls.crl_der(conn, each.digest))
            for row in sets
            for each in crls.listed(conn)
            if each.trust_set == row.name and row.name in names and each.entries
        ]
    found = {
        use.thumbprint
        for use in used
        if use.thumbprint in list_.thumbprints
        or use.tbs_sha256 in list_.contents
        or use.spki_sha256 in list_.spkis
        or issuer_serial(use.issuer, use.serial) in list_.issuer_serials
    }
    for row, der in loaded:
        if der is None:
            continue
        try:
            judged = crl.load_for(set_of(row), der)
        except ValueError:  # its CA left the set: it says nothing any more
            continue
        found |= {
            use.thumbprint
            for use in used
            if (use.trust_set, use.issuer) == (row.name, dn.shown(judged.issuer))
            and judged.revoked(serial_key(int(use.serial, 16)))
        }
    return frozenset(found)


def _replaces(new: UseRow, old: UseRow) -> bool:
    later = (new.last_used, new.first_used) > (old.last_used, old.first_used)
    return later and (new.first_used >= old.last_used or new.last_used >= old.last_used + QUIET)
