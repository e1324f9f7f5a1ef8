"""Clients: registering, showing, disabling and removing them.

Guarantees that two clients of one trust set never look alike to people, that a client names only
trust sets and resources that exist, and that each change and its audit entry are one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app import clock
from app.admin import boundary
from app.admin.cascade import Cause, revoke_tokens
from app.admin.client_checks import (
    Labels,
    refuse_alike,
    require_resources,
    require_served,
    require_vouchers,
)
from app.admin.client_wishes import Sight, Wishes, row_of
from app.admin.credential import Keeping, digests
from app.admin.denied_known import DenyList, refuse_denied
from app.admin.desk import Desk
from app.admin.identity import Identity
from app.admin.problem import Problem
from app.admin.reasons import checked_reason
from app.audit import ClientAdded, ClientDisabled, ClientEnabled, ClientRemoved
from app.store import audit, clients, credentials, holders, registry, resources, tokens, trust, uses
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.tokens import Outstanding

LABELS = ("tenant", "risk", "resource_class")


@dataclass(frozen=True, slots=True)
class Added:
    """A registered client, and what its operator should look at."""

    row: ClientRow
    unknown_scopes: tuple[str, ...]
    """Granted, but no resource of the client knows them: no token will carry them yet."""
    shares_keys_with: tuple[str, ...] = ()
    """Clients that hold one of its keys already: reported, not refused, as the settings say."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Custody and owner of its certificates and keys, as far as given."""


def add(
    desk: Desk,
    client_id: str,
    identity: Identity,
    wishes: Wishes,
    labels: Labels | None = None,
    *,
    sight: Sight | None = None,
    keeping: Keeping | None = None,
) -> Added:
    """Register a client; `keeping` is noted of each certificate and key that it is registered with.

    Raises:
        Problem: the identifier is malformed or taken, the subject looks like another client's in
            the same trust set, no trust set may vouch for it, another holds its key, its
            certificate or key is denied, or a grant, scope, resource or trust set is not known.

    """
    row = row_of(client_id, identity, wishes, labels or Labels(), sight or Sight())
    notes = _notes(identity, keeping or Keeping())
    now = row.created_at
    sharing: dict[str, None] = {}
    with registry.change(desk.db) as conn:
        refuse_denied(conn, [*identity.credentials, *([identity.facts] if identity.facts else [])])
        require_vouchers(row, trust.listed(conn))
        known = {one.url: one.scopes for one in resources.listed(conn)}
        require_resources(row, list(known))
        require_served(row.serves, list(known))
        refuse_alike(row, clients.listed(conn))
        if not clients.add(conn, row):
            raise Problem(
                f"the client {client_id} exists already",
                seen=client_id,
                expected="a new identifier",
                action=f"certbound client show {client_id}; client sight, client match and "
                "client cert add change it",
            )
        for credential in identity.credentials:
            credentials.add(conn, credential.row(client_id, now, notes=notes))
            key = credential.spki_sha256
            proven = credential.proves_key
            holders.claim(conn, key, client_id, row.tenant, now, proven=proven)
            sharing |= dict.fromkeys(boundary.judge(conn, row, key, desk.settings.boundary_policy))
        audit.append_admin(
            conn,
            ClientAdded(
                actor=desk.actor, client_id=client_id, details=_details(row, identity) | notes
            ),
        )
    usable = {
        scope
        for url in row.resources or (desk.settings.default_resource,)
        for scope in known.get(url, ())
    }
    unknown_scopes = tuple(scope for scope in row.scopes if scope not in usable)
    return Added(row, unknown_scopes, tuple(sharing), notes)


@dataclass(frozen=True, slots=True)
class Disabled:
    """A client that may not authenticate any more."""

    changed: bool
    """False: it was disabled already."""
    tokens: Outstanding
    """Its unexpired tokens, as they were: revoked with it."""


def disable(desk: Desk, client_id: str, *, reason: str = "", dry_run: bool = False) -> Disabled:
    """No token for it after this returns, on any node, and the ones it has are revoked.

    Raises:
        Problem: there is no such client.

    """
    checked_reason(reason)
    now = clock.now()
    with desk.db.read() if dry_run else registry.change(desk.db) as conn:
        row = _require(client_id, clients.find(conn, client_id))
        changed = row.disabled_at is None
        if dry_run:
            return Disabled(changed, tokens.outstanding(conn, now, client_id=client_id))
        if changed:
            clients.disable(conn, client_id, now)
            details: dict[str, object] = {"note": reason} if reason else {}
            event = ClientDisabled(actor=desk.actor, client_id=client_id, details=details)
            audit.append_admin(conn, event)
        # Of one that was disabled before too: an older release left its tokens.
        cause = Cause(ClientDisabled.name, reason)
        return Disabled(changed, revoke_tokens(conn, desk.actor, cause, now, client_id=client_id))


def enable(desk: Desk, client_id: str) -> bool:
    """The client may authenticate again; False when it was not disabled.

    Raises:
        Problem: there is no such client.

    """
    now = clock.now()
    with registry.change(desk.db) as conn:
        if not clients.enable(conn, client_id, now):
            _require(client_id, clients.find(conn, client_id))
            return False
        audit.append_admin(conn, ClientEnabled(actor=desk.actor, client_id=client_id))
    return True


def remove(desk: Desk, client_id: str) -> Outstanding:
    """Forget the client and its credentials, and revoke its tokens: those it had.

    Their records and its audit entries stay.

    Raises:
        Problem: there is no such client.

    """
    with registry.change(desk.db) as conn:
        if not clients.remove(conn, client_id):
            raise unknown(client_id)
        audit.append_admin(conn, ClientRemoved(actor=desk.actor, client_id=client_id))
        cause = Cause(ClientRemoved.name)
        return revoke_tokens(conn, desk.actor, cause, clock.now(), client_id=client_id)


def listed(desk: Desk) -> Sequence[ClientRow]:
    """Every client, by identifier."""
    with desk.db.read() as conn:
        return clients.listed(conn)


def denied_of(desk: Desk) -> dict[str, tuple[str, ...]]:
    """By client how its certificates that are in date are denied; clients without any left out."""
    now = clock.now()
    with desk.db.read() as conn:
        stopped = DenyList.read(conn)
        if not stopped:
            return {}
        found: dict[str, dict[str, None]] = {}
        for row in credentials.listed(conn):
            if row.state == "active" and (row.not_after is None or row.not_after > now):
                found.setdefault(row.client_id, {})[stopped.of_row(row)] = None
        for use in uses.in_date(conn, now):
            found.setdefault(use.client_id, {})[stopped.of_use(use)] = None
    return {
        client_id: tuple(how for how in those if how)
        for client_id, those in found.items()
        if any(those)
    }


def shown(desk: Desk, client_id: str) -> tuple[ClientRow, Sequence[CredentialRow]]:
    """One client and its credentials, retired ones too.

    Raises:
        Problem: there is no such client.

    """
    with desk.db.read() as conn:
        row = _require(client_id, clients.find(conn, client_id))
        return row, credentials.of_client(conn, client_id)


def unknown(client_id: str) -> Problem:
    """What to say when a client is not there."""
    return Problem(
        "there is no such client",
        seen=client_id[:255],
        expected="a registered client, written exactly",
        action="certbound client list",
    )


def name_text(row: ClientRow) -> str:
    """The name a client is recognised by, for people."""
    parts = []
    if row.subject_attribute is not None:
        parts.append(f"{row.subject_attribute} {row.subject_text}")
    if row.spiffe_id is not None:
        parts.append(f"spiffe_id {row.spiffe_id}")
    return " and ".join(parts)


def _require(client_id: str, row: ClientRow | None) -> ClientRow:
    if row is None:
        raise unknown(client_id)
    return row


def _notes(identity: Identity, keeping: Keeping) -> dict[str, str]:
    given = keeping.given()
    if given and not identity.credentials:
        raise Problem(
            "custody and owner have no meaning for this client",
            seen=" and ".join(f"--{name}" for name in given),
            expected="a certificate or key that is registered; this client is known by "
            + ("its jwks_uri" if identity.jwks_uri is not None else "a name from a CA"),
        )
    return given


def _details(row: ClientRow, identity: Identity) -> dict[str, object]:
    details: dict[str, object] = {
        "method": row.auth_method,
        "grants": list(row.grants),
        "scopes": list(row.scopes),
        "resources": list(row.resources),
    }
    if identity.subject is not None:
        details["subject"] = {identity.subject.attribute: identity.subject.text}
        details["trust_sets"] = list(row.trust_sets)
    if identity.spiffe_id is not None:
        details["spiffe_id"] = identity.spiffe_id
        details["trust_sets"] = list(row.trust_sets)
    details |= {name: text for name in LABELS if (text := getattr(row, name))}
    if row.introspection == "all" or row.serves:
        details |= {"introspection": row.introspection, "serves": list(row.serves)}
    if identity.credentials:
        details["credentials"] = digests(identity.credentials)
    if identity.jwks_uri is not None:
        details["jwks_uri"] = identity.jwks_uri
    return details
