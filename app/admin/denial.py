"""The local deny-list: stopping a certificate, a key, or an issuer's serial number for everybody.

Guarantees promise 3: when `deny` returns, no process issues a token to it any more, for the entry
and every token's record are ordered by the registry's lock. What it stopped is counted in the
same transaction. A certificate denied by its thumbprint is denied by its issuer and serial number
too where these are known, for a thumbprint covers the CA's signature, and whoever has an ECDSA
signature can write down another one for the same content. Tokens issued before run out by
themselves; resources that ask nobody accept them until then.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app import clock
from app.admin.denial_target import (
    Target,
    as_key,
    authority,
    from_rows,
    of_text,
    refuse_authority,
)
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.audit import CertificateAllowed, CertificateDenied, CertificateEvidence
from app.store import audit, clients, credentials, denied, registry, tokens, trust, uses
from app.store.credentials import CredentialRow
from app.store.denied import DeniedRow, Kind
from app.store.engine import Transaction
from app.store.tokens import Outstanding
from app.store.trust import TrustSetRow
from app.store.uses import UseRow

MAX_REASON = 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a denial stops, or would."""

    kind: Kind
    value: str
    target: Target
    changed: bool
    """False: it was denied already."""
    clients: tuple[str, ...]
    """Registered clients that registered or used it."""
    thumbprints: tuple[str, ...]
    """The certificates known here that it covers."""
    outstanding: Outstanding
    """Unexpired tokens bound to these."""
    last_used: int | None
    beside: str | None
    """For a thumbprint, the issuer and serial number that are denied with it.

    None: these are not known, or a trust set's own; then only those very bytes are stopped.
    """


def deny(
    desk: Desk, text: str, kind: Kind = "thumbprint", *, reason: str = "", dry_run: bool = False
) -> Stopped:
    """Stop what `text` (a thumbprint or a certificate file) names, by `kind`.

    Raises:
        Problem: it names nothing, what is asked for is not known of it, or it would stop a member
            of a trust set, which is stopped by taking it out of the set.

    """
    if len(reason) > MAX_REASON:
        raise Problem(
            "the reason is too long",
            seen=f"{len(reason)} characters",
            expected=f"at most {MAX_REASON}",
        )
    typed = of_text(text)
    now = clock.now()
    with desk.db.read() if dry_run else registry.change(desk.db) as conn:
        digest = typed.thumbprint or ""
        target = _known(conn, typed)
        used: Sequence[UseRow]
        registered: Sequence[CredentialRow]
        if kind == "spki":
            key = target.spki_sha256 or digest
            used = uses.by_key(conn, key)
            registered = credentials.by_key(conn, key)
            if target.spki_sha256 is None and (used or registered):
                target = as_key(key)
        else:
            used = uses.by_thumbprint(conn, digest)
            registered = credentials.by_thumbprint(conn, digest)
            if target.issuer and target.serial:
                used = uses.by_serial(conn, target.issuer, target.serial)
        sets = trust.listed(conn)
        refuse_authority(kind, target.value(kind) or digest, sets)
        value = target.required(kind)
        beside = _beside(kind, target, sets)
        thumbprints = _thumbprints(target, used, registered)
        known = {row.client_id for row in clients.listed(conn)}
        present = {
            (row.kind, row.value)
            for row in denied.listed(conn)
            if kind == "thumbprint" or not _made_beside(row)
        }
        changed = not {(kind, value), *_second(beside)} <= present
        stopped = Stopped(
            kind,
            value,
            target,
            changed,
            tuple(sorted(known & _holders(used, registered))),
            thumbprints,
            tokens.outstanding(conn, now, thumbprints=thumbprints),
            max((use.last_used for use in used), default=None),
            beside,
        )
        if changed and not dry_run:
            _enter(conn, desk, stopped, reason, now)
            audit.append_admin(conn, _event(desk, stopped, reason))
    return stopped


def listed(desk: Desk) -> Sequence[DeniedRow]:
    """Every entry, oldest first."""
    with desk.db.read() as conn:
        return denied.listed(conn)


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken off the list, and what still covers the certificate."""

    rows: Sequence[DeniedRow]
    still: Sequence[DeniedRow] = ()
    """Entries for its key: acts of their own, about other certificates too."""


def undo(desk: Desk, text: str, kind: Kind | None = None) -> Undone:
    """Take entries off the list, for mistakes: what it stopped may authenticate again.

    `text` is a value as `listed` gives it, a thumbprint or a certificate file. A certificate stands
    for every entry of its own, and for that of its key where there is no other; `kind` says which.
    What was denied beside a thumbprint goes with it.

    Raises:
        Problem: nothing on the list is named by it.

    """
    with registry.change(desk.db) as conn:
        rows = denied.listed(conn)
        named = {("any", text)}
        if all(row.value != text for row in rows):
            target = _known(conn, of_text(text))
            named = {(each, target.value(each) or "") for each in KINDS}
        found = [
            row
            for row in rows
            if kind in (None, row.kind) and {("any", row.value), (row.kind, row.value)} & named
        ]
        still = [] if kind else _keys_of(conn, rows, found)
        found = [row for row in found if row not in still]
        marks = {_mark(row.value) for row in found if row.kind == "thumbprint"}
        found += [
            row
            for row in rows
            if row not in found and _made_beside(row) and row.reason.endswith(tuple(marks))
        ]
        if not found:
            raise Problem(
                "nothing on the deny-list is named so",
                seen=text[:200],
                expected="a value that the list shows, or a certificate that an entry covers",
                action="certbound revoke list",
            )
        for row in found:
            denied.allow(conn, row.kind, row.value)
            details = {"kind": row.kind, "value": row.value, "denied_by": row.actor}
            audit.append_admin(conn, CertificateAllowed(actor=desk.actor, details=details))
    return Undone(found, still)


def _known(conn: Transaction, typed: Target) -> Target:
    digest = typed.thumbprint or ""
    return from_rows(
        typed, uses.by_thumbprint(conn, digest), credentials.by_thumbprint(conn, digest)
    )


def _keys_of(
    conn: Transaction, rows: Sequence[DeniedRow], found: Sequence[DeniedRow]
) -> list[DeniedRow]:
    """The entries for the keys of the certificates among `found`; none where there is no such."""
    if all(row.kind == "spki" for row in found):
        return []
    targets = [_known(conn, Target(row.value)) for row in found if row.kind == "thumbprint"]
    keys = {one.spki_sha256 for one in targets}
    return [row for row in rows if row.kind == "spki" and (row in found or row.value in keys)]


def _beside(kind: Kind, target: Target, sets: Sequence[TrustSetRow]) -> str | None:
    """What goes on the list with a thumbprint.

    Never what names a member of a trust set: issuer and serial number of a self-signed certificate
    are whatever its maker wrote.
    """
    value = target.value("issuer_serial") if kind == "thumbprint" else None
    if value is None or authority("issuer_serial", value, sets) is not None:
        return None
    return value


def _second(beside: str | None) -> set[tuple[Kind, str]]:
    return set() if beside is None else {("issuer_serial", beside)}


def _mark(thumbprint: str) -> str:
    """Ends the reason of an entry made beside a thumbprint: for people, and for `undo`."""
    return f"(with certificate {thumbprint})"


def beside_of(row: DeniedRow) -> str | None:
    """The thumbprint that this entry was made beside; None: it is an act of its own."""
    found = _MARK.search(row.reason) if row.kind == "issuer_serial" else None
    return None if found is None else found[1]


def _made_beside(row: DeniedRow) -> bool:
    return beside_of(row) is not None


def _enter(conn: Transaction, desk: Desk, stopped: Stopped, reason: str, now: int) -> None:
    if stopped.kind == "issuer_serial":  # from now on for its own sake, whatever it was beside
        denied.allow(conn, stopped.kind, stopped.value)
    denied.deny(conn, stopped.kind, stopped.value, reason=reason, actor=desk.actor, at=now)
    if stopped.beside is not None:
        why = f"{reason} {_mark(stopped.value)}".strip()
        denied.deny(conn, "issuer_serial", stopped.beside, reason=why, actor=desk.actor, at=now)


_MARK = re.compile(r"\(with certificate ([A-Za-z0-9_-]{43})\)$")
KINDS: tuple[Kind, ...] = ("thumbprint", "spki", "issuer_serial")


def _holders(used: Sequence[UseRow], registered: Sequence[CredentialRow]) -> set[str]:
    return {use.client_id for use in used} | {row.client_id for row in registered}


def _thumbprints(
    target: Target, used: Sequence[UseRow], registered: Sequence[CredentialRow]
) -> tuple[str, ...]:
    found = {use.thumbprint for use in used}
    found |= {row.thumbprint for row in registered if row.thumbprint is not None}
    if target.thumbprint is not None:
        found.add(target.thumbprint)
    return tuple(sorted(found))


def _event(desk: Desk, stopped: Stopped, reason: str) -> CertificateDenied:
    target, evidence = stopped.target, None
    if target.thumbprint is not None:
        evidence = CertificateEvidence(
            thumbprint=target.thumbprint,
            subject=target.subject,
            issuer=target.issuer,
            serial=target.serial,
        )
    return CertificateDenied(
        actor=desk.actor,
        certificate=evidence,
        details={
            "kind": stopped.kind,
            "value": stopped.value,
            "beside": stopped.beside,
            "note": reason,
            "clients": list(stopped.clients),
            "tokens": stopped.outstanding.count,
            "tokens_until": stopped.outstanding.until,
        },
    )
