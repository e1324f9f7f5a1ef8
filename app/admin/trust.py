"""Trust sets: which CA certificates may vouch for clients, and for which names."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app import clock
from app.admin.certificate_file import read_chain
from app.admin.client_checks import admits, registered_names
from app.admin.denied_known import among
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.trust_forecast import Affected, Held, Seen, forecast
from app.admin.trust_known import find, refuse_bundle, require_name
from app.admin.trust_removal import remove
from app.audit import TrustAdded, TrustChanged
from app.pki import check
from app.pki.anchors import TrustSet
from app.pki.permitted import ANYTHING, Permitted
from app.pki.permitted import permit as parse_bounds
from app.store import audit, clients, registry, trust
from app.store.clients import ClientRow
from app.store.crls import CrlRow
from app.store.crls import listed as listed_crls
from app.store.trust import TrustAnchorRow, TrustSetRow

__all__ = ["add", "crls", "listed", "permit", "remove", "require_usable", "rows_of"]

MAX_DESCRIPTION = 500
"""Characters."""


def add(
    desk: Desk,
    name: str,
    path: Path,
    *,
    intermediates_only: bool = False,
    description: str | None = None,
    patterns: Sequence[str] = (),
) -> tuple[TrustAnchorRow, ...]:
    """Pin the CA certificates in `path` into the set, made where it is new; what was added.

    Self-issued certificates become anchors, the others path material; where none is self-issued,
    all become anchors (that is how a sub-CA alone is trusted), unless `intermediates_only`.
    `patterns` bound the names a new set may vouch for.

    Raises:
        Problem: a malformed name or bound, other bounds than the set has, anchors by hand where
            they come from a bundle, or a certificate that cannot be a CA.

    """
    require_name(name)
    bounds = _bounds(patterns)
    new = rows_of(name, path, intermediates_only=intermediates_only)
    now = clock.now()
    with registry.change(desk.db) as conn:
        created = trust.add_set(conn, name, "", now)
        known = find(trust.listed(conn), name)
        if created:
            trust.permit(conn, name, bounds.to_json(), now)
        elif patterns and bounds.to_json() != dict(known.permitted):
            raise _other_bounds(known, patterns)
        if any(row.role == "anchor" for row in new):
            refuse_bundle(known)
        require_usable(path, known, new)
        if description is not None:
            trust.describe(conn, name, _description(description), now)
        added = tuple(row for row in new if trust.add_anchor(conn, name, row))
        if added or description is not None:
            details: dict[str, object] = {
                "trust_set": name,
                "added": {row.thumbprint: f"{row.role} {row.subject}" for row in added},
            }
            if created and bounds:
                details["permitted"] = list(bounds.texts)
            if description is not None:
                details["description"] = description
            audit.append_admin(conn, TrustAdded(actor=desk.actor, details=details))
    return added


@dataclass(frozen=True, slots=True)
class Bounded:
    """The names that a set may vouch for from now on, or would."""

    bounds: Permitted
    affected: tuple[Affected, ...]
    """Enabled clients that name the set, those that stop first."""


def permit(desk: Desk, name: str, patterns: Sequence[str], *, dry_run: bool = False) -> Bounded:
    """Replace the names the set may vouch for; no patterns: any. Counts from the next request on.

    The forecast goes by the names that clients are registered by. Other names in their
    certificates are not stored.

    Raises:
        Problem: there is no such set, or a pattern is none.

    """
    bounds = _bounds(patterns)
    seen = Seen.at(desk, name)
    with desk.db.read() if dry_run else registry.change(desk.db) as conn:
        rows, registered = trust.listed(conn), clients.listed(conn)
        known = find(rows, name)
        before = {row.name: row for row in rows}
        after = {**before, name: replace(known, permitted=bounds.to_json())}
        affected = [
            forecast(row.client_id, _admitting(row, before), _admitting(row, after), seen)
            for row in registered
            if name in row.trust_sets and row.disabled_at is None
        ]
        if not dry_run:
            trust.permit(conn, name, bounds.to_json(), clock.now())
            details = {"trust_set": name, "permitted": list(bounds.texts)}
            audit.append_admin(conn, TrustChanged(actor=desk.actor, details=details))
    return Bounded(bounds, tuple(sorted(affected, key=lambda one: one.outlook != "stops")))


def _admitting(client: ClientRow, sets: Mapping[str, TrustSetRow]) -> Held:
    """Those of a client's sets that may vouch for its name."""
    names = registered_names(client)
    return Held(client, {name: row for name, row in sets.items() if admits(row, names)})


def denied(desk: Desk, rows: Sequence[TrustAnchorRow]) -> dict[str, str]:
    """How those of these members that the deny-list stops are named on it, by thumbprint."""
    with desk.db.read() as conn:
        return among(conn, rows)


def listed(desk: Desk) -> Sequence[TrustSetRow]:
    """Every set with its members, by name."""
    with desk.db.read() as conn:
        return trust.listed(conn)


def crls(desk: Desk) -> Sequence[CrlRow]:
    """What is known of every loaded CRL."""
    with desk.db.read() as conn:
        return listed_crls(conn)


def rows_of(name: str, path: Path, *, intermediates_only: bool) -> tuple[TrustAnchorRow, ...]:
    """The certificates in a file as members of a set.

    Raises:
        Problem: one of them can be none.

    """
    chain = read_chain(path)
    now = clock.now()
    if intermediates_only:
        return tuple(_row(path, der, "intermediate", now) for der in chain)
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode()
    try:
        found = TrustSet.from_pem(name, pem)
    except ValueError as error:
        raise _unusable(path, error) from error
    return (
        *(_row(path, der, "anchor", now) for der in found.anchors),
        *(_row(path, der, "intermediate", now) for der in found.intermediates),
    )


def require_usable(path: Path, known: TrustSetRow, new: Sequence[TrustAnchorRow]) -> None:
    """Refuse now what the token endpoint would refuse to use.

    Raises:
        Problem: the set with `new` would be none.

    """
    members = {row.thumbprint: row for row in (*new, *known.anchors)}  # the stored role wins
    anchors = tuple(row.der for row in members.values() if row.role == "anchor")
    others = tuple(row.der for row in members.values() if row.role == "intermediate")
    try:
        TrustSet(known.name, anchors, others)
    except ValueError as error:
        raise _unusable(path, error) from error


def _bounds(patterns: Sequence[str]) -> Permitted:
    try:
        return parse_bounds(*patterns) if patterns else ANYTHING
    except ValueError as error:
        raise Problem(
            "this is no permitted name",
            seen=str(error),
            expected="dn:O=Acme,C=DE (all subjects in it), dns:acme.example (and its subdomains) "
            "or spiffe:acme.example (a trust domain)",
        ) from error


def _other_bounds(known: TrustSetRow, patterns: Sequence[str]) -> Problem:
    return Problem(
        f"{known.name} has other bounds",
        seen=" ".join(patterns),
        expected=" ".join(Permitted.from_json(known.permitted).texts) or "none: any name",
        action=f"Change them by themselves: certbound trust permit {known.name} PATTERN",
    )


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise Problem(
            "the description is too long",
            seen=f"{len(text)} characters",
            expected=f"at most {MAX_DESCRIPTION}",
        )
    return text


def _row(path: Path, der: bytes, role: str, now: int) -> TrustAnchorRow:
    try:
        facts = check.describe(der)
    except ValueError as error:
        raise _unusable(path, error) from error
    return TrustAnchorRow(
        thumbprint=facts.thumbprint,
        der=der,
        role="anchor" if role == "anchor" else "intermediate",
        subject=facts.subject,
        not_after=facts.not_after,
        added_at=now,
    )


def _unusable(path: Path, error: ValueError) -> Problem:
    seen, _, of_a_client = str(error).partition("; a client's own certificate ")
    return Problem(
        f"{path} cannot join a trust set",
        seen=seen,
        expected="CA certificates: X.509 v3, basic constraint CA, an accepted key",
        action="Pin the CA that issued it, then register the client: certbound client add ID --cert "
        f"{path} --trust NAME. Where no CA issued it, it {of_a_client}"
        if of_a_client
        else "",
    )
