"""Changing a registered client: who may vouch for it, its boundary labels, its name.

Guarantees what registering guarantees: no look-alikes in one trust set, no set that cannot vouch
for it, no key across a boundary. Each change and its audit entry are one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app import clock
from app.admin import boundary
from app.admin.client_checks import Labels, refuse_alike, require_vouchers
from app.admin.clients import name_text, unknown
from app.admin.desk import Desk
from app.admin.identity import Identity
from app.admin.problem import Problem
from app.admin.trust_forecast import Affected, Held, Seen, forecast
from app.admin.weakest_set import Weakest, weakest
from app.audit import ClientChanged
from app.clients.methods import tls_client_auth
from app.pki import names as pki_names
from app.store import audit, clients, credentials, holders, registry, trust
from app.store.clients import ClientRow


@dataclass(frozen=True, slots=True)
class NewTrust:
    """The sets that vouch for a client from now on, or would."""

    row: ClientRow
    affected: Affected
    """By the certificates it was seen with."""
    weakest: Weakest | None
    """The set that asks least about revocation; None: all are as strict."""


def set_trust(
    desk: Desk, client_id: str, names: Sequence[str], *, dry_run: bool = False
) -> NewTrust:
    """From the next request on these sets, and no others, may vouch for the client.

    Raises:
        Problem: unknown client or set, a client no CA vouches for, or a set in which it could be
            taken for another.

    """
    now = clock.now()
    seen = Seen.of(desk, client_id)
    with desk.db.read() if dry_run else registry.change(desk.db) as conn:
        row = _by_name(client_id, clients.find(conn, client_id))
        changed = replace(row, trust_sets=tuple(dict.fromkeys(names)))
        rows = trust.listed(conn)
        require_vouchers(changed, rows)
        refuse_alike(changed, clients.listed(conn))
        sets = {one.name: one for one in rows}
        affected = forecast(client_id, Held(row, sets), Held(changed, sets), seen)
        if not dry_run:
            clients.set_trust_sets(conn, client_id, changed.trust_sets, now)
            details = {"trust_sets": list(changed.trust_sets), "before": list(row.trust_sets)}
            event = ClientChanged(actor=desk.actor, client_id=client_id, details=details)
            audit.append_admin(conn, event)
    return NewTrust(changed, affected, weakest(sets[each] for each in changed.trust_sets))


def label(desk: Desk, client_id: str, labels: Labels) -> ClientRow:
    """Give the client these labels; the others stay. Its keys move to the new tenant with it.

    Raises:
        Problem: unknown client, a malformed label, or a key or certificate of it is of another
            tenant.

    """
    given: dict[str, Any] = dict(labels.given())
    now = clock.now()
    with registry.change(desk.db) as conn:
        row = clients.find(conn, client_id)
        if row is None:
            raise unknown(client_id)
        changed = replace(row, **given)
        clients.label(conn, client_id, now, **given)
        policy = desk.settings.boundary_policy
        registered = credentials.of_client(conn, client_id)
        for one in registered:
            if one.state == "active":
                boundary.judge_credential(changed, one, policy)
        # Whoever holds a key has claimed it, by registration or by a request, refused ones included.
        for key in holders.of_client(conn, client_id):
            boundary.judge(conn, changed, key, policy, later_too=True)
        event = ClientChanged(actor=desk.actor, client_id=client_id, details={"labels": given})
        audit.append_admin(conn, event)
        return clients.find(conn, client_id) or changed


def rename(desk: Desk, client_id: str, identity: Identity) -> ClientRow:
    """Recognise the client by another name from the next request on; everything else stays.

    Raises:
        Problem: unknown client, one recognised by its certificates, or a name that no set may
            vouch for or that looks like another client's.

    """
    subject = identity.subject
    now = clock.now()
    with registry.change(desk.db) as conn:
        row = _by_name(client_id, clients.find(conn, client_id))
        changed = replace(
            row,
            subject_attribute=subject.attribute if subject else None,
            subject_value=subject.value if subject else None,
            subject_text=identity.subject_text,
            collision_key=pki_names.collision_key(subject) if subject else None,
            spiffe_id=identity.spiffe_id,
            updated_at=now,
        )
        require_vouchers(changed, trust.listed(conn))
        refuse_alike(changed, clients.listed(conn))
        clients.set_name(conn, changed)
        details = {"recognised_by": name_text(changed), "before": name_text(row)}
        event = ClientChanged(actor=desk.actor, client_id=client_id, details=details)
        audit.append_admin(conn, event)
    return changed


def _by_name(client_id: str, row: ClientRow | None) -> ClientRow:
    if row is None:
        raise unknown(client_id)
    if row.auth_method != tls_client_auth.NAME:
        raise Problem(
            f"no CA vouches for {client_id}",
            seen=row.auth_method,
            expected=f"a {tls_client_auth.NAME} client",
            action=f"Its own certificates and keys count: certbound client cert list {client_id}",
        )
    return row
