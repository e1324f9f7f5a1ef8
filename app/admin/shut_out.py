"""Which certificates that clients were seen with let nobody in any more, though nobody denied them.

Guarantees nothing that decisions depend on. Goes by the CRLs that are loaded, by the names of issuers,
and by the CAs that the audit says were taken away: an anchor that a bundle dropped is not known, and
neither is what a responder says. Registered certificates are not looked at: no CA is asked about them.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal

from app import clock
from app.admin.desk import Desk
from app.admin.still_used import stopped
from app.store import audit, trust
from app.store.clients import ClientRow
from app.store.told import told
from app.store.trust import TrustSetRow
from app.store.uses import UseRow

Refused = Literal["revoked", "untrusted"]


def shut_out(
    desk: Desk, registered: Sequence[ClientRow], used: Sequence[UseRow]
) -> dict[UseRow, tuple[Refused, str]]:
    """Of these uses by these clients those refused today: ``revoked`` or ``untrusted``, and why.

    Reads the lists of sets that ask them: seconds for one of a million entries.
    """
    by_id = {row.client_id: row for row in registered}
    by_path = [use for use in used if use.trust_set is not None and use.client_id in by_id]
    with desk.db.read() as conn:
        sets = {row.name: row for row in trust.listed(conn)}
        taken = _taken(audit.removals(conn)) if by_path else {}
    found: dict[UseRow, tuple[Refused, str]] = {}
    for use in by_path:
        held = [sets[name] for name in by_id[use.client_id].trust_sets if name in sets]
        if why := _without_ca(use, held, taken):
            found[use] = "untrusted", why
    asked = [
        use
        for use in by_path
        if use not in found and use.trust_set in by_id[use.client_id].trust_sets
    ]
    asked.sort(key=lambda use: use.trust_set or "")
    for name, those in groupby(asked, key=lambda use: use.trust_set):
        group = list(those)
        revoked = stopped(desk, group)
        for use in group:
            if use.thumbprint in revoked:
                found[use] = "revoked", f"revoked by its CA, says a CRL of trust set {name}"
    return found


def _without_ca(
    use: UseRow, held: Sequence[TrustSetRow], taken: Mapping[tuple[str | None, str], int]
) -> str:
    """Why no CA vouches for it; empty where one does, or a client may send along one that does."""
    now = clock.now()
    members = [row for one in held for row in one.anchors if row.not_after > now]
    if all(row.role != "anchor" for row in members):
        return "no trust set of the client has a CA in date"
    if any(row.subject == use.issuer for row in members):
        return ""
    at_ms = taken.get((use.trust_set, use.issuer))
    # Used since then: another CA of the set vouches, by a path that the client sends along.
    if at_ms is None or use.last_used * 1000 > at_ms:
        return ""
    return f"its CA {use.issuer} left trust set {use.trust_set}"


def _taken(removals: Sequence[tuple[int, str]]) -> dict[tuple[str | None, str], int]:
    """When an anchor of this name was last taken from the trust set, by set and name."""
    found: dict[tuple[str | None, str], int] = {}
    for at_ms, body in removals:
        details = told(body).get("details") or {}
        removed, trust_set = details.get("removed"), details.get("trust_set")
        if not isinstance(removed, dict) or not isinstance(trust_set, str | None):
            continue
        for text in removed.values():
            role, _, subject = str(text).partition(" ")
            if role == "anchor":
                found[trust_set, subject] = at_ms
    return found
