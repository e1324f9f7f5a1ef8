"""Taking a CA certificate, or a whole trust set, away; and who would stop authenticating."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app import clock
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.admin.trust_forecast import Affected, Held, Seen, forecast, uses_of
from app.admin.trust_known import find, refuse_bundle
from app.audit import AnchorRemoved, ClientChanged, TrustRemoved
from app.pki.spiffe import is_spiffe_uri
from app.store import audit, clients, registry, trust
from app.store.clients import ClientRow
from app.store.engine import Transaction
from app.store.trust import TrustAnchorRow, TrustSetRow


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed, or would be."""

    name: str
    members: tuple[TrustAnchorRow, ...]
    whole: bool
    """Whether the set goes with them."""
    affected: tuple[Affected, ...]
    """Enabled clients that name the set, the last used first."""
    naming: tuple[str, ...]
    """Clients that name it, disabled ones too."""


def remove(desk: Desk, name: str, text: str | None = None, *, dry_run: bool = False) -> Removal:
    """Remove the set, or the one certificate that `text` names; nobody is trusted through it then.

    Raises:
        Problem: there is no such set or member, it is the set's last anchor, or the set's anchors
            come from a bundle.

    """
    seen = Seen.at(desk, name)
    if dry_run:
        with desk.db.read() as conn:
            rows, registered = trust.listed(conn), clients.listed(conn)
        return _removal(find(rows, name), text, rows, registered, seen)
    with registry.change(desk.db) as conn:
        rows, registered = trust.listed(conn), clients.listed(conn)
        naming = [row for row in registered if name in row.trust_sets]
        seen = replace(seen, used=uses_of(conn, naming))
        removal = _removal(find(rows, name), text, rows, registered, seen)
        details: dict[str, object] = {
            "trust_set": name,
            "removed": {row.thumbprint: f"{row.role} {row.subject}" for row in removal.members},
        }
        if removal.whole:
            _keep_to_svids(conn, desk, find(rows, name), naming)
            trust.remove_set(conn, name)
            audit.append_admin(conn, TrustRemoved(actor=desk.actor, details=details))
        else:
            for member in removal.members:
                trust.remove_anchor(conn, name, member.thumbprint, clock.now())
            audit.append_admin(conn, AnchorRemoved(actor=desk.actor, details=details))
    return removal


def _keep_to_svids(
    conn: Transaction, desk: Desk, gone: TrustSetRow, naming: Sequence[ClientRow]
) -> None:
    """Clients that this set's trust domain made SPIFFE clients stay so by their own registration.

    Else the other CAs that they have could vouch for a SPIFFE ID once its domain is gone.
    """
    if gone.trust_domain is None:
        return
    for row in naming:
        text = row.subject_text or ""
        if row.spiffe_id is None and row.subject_attribute == "san_uri" and is_spiffe_uri(text):
            clients.set_spiffe_id(conn, row.client_id, text, clock.now())
            details = {"spiffe_id": text, "trust_set_removed": gone.name}
            event = ClientChanged(actor=desk.actor, client_id=row.client_id, details=details)
            audit.append_admin(conn, event)


def _removal(
    before: TrustSetRow,
    text: str | None,
    rows: Sequence[TrustSetRow],
    registered: Sequence[ClientRow],
    seen: Seen,
) -> Removal:
    gone = before.anchors if text is None else (_member(before, text),)
    left = tuple(row for row in before.anchors if row not in gone)
    if text is not None and gone[0].role == "anchor":
        refuse_bundle(before)
        if all(row.role != "anchor" for row in left):
            raise Problem(
                f"this is the last anchor of {before.name}",
                seen=gone[0].subject,
                expected="a set with another anchor: add the CA's new certificate first",
                action="To trust nobody through it any more, remove the set: certbound trust "
                f"remove {before.name}",
            )
    sets_before = {row.name: row for row in rows}
    sets_after = {**sets_before, before.name: replace(before, anchors=left)}
    naming = [row for row in registered if before.name in row.trust_sets]
    affected = [
        forecast(row.client_id, Held(row, sets_before), Held(row, sets_after), seen)
        for row in naming
        if row.disabled_at is None
    ]
    return Removal(
        before.name,
        gone,
        text is None,
        tuple(sorted(affected, key=lambda one: -(one.last.last_used if one.last else 0))),
        tuple(row.client_id for row in naming),
    )


def _member(known: TrustSetRow, text: str) -> TrustAnchorRow:
    thumbprint = thumbprint_of(text)
    for row in known.anchors:
        if row.thumbprint == thumbprint:
            return row
    raise Problem(
        f"{known.name} holds no such certificate",
        seen=thumbprint,
        expected="the thumbprint of one of its members",
        action="certbound trust list",
    )
