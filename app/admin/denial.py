"""The local deny-list: stopping a certificate, a key, or an issuer's serial number for everybody.

Guarantees promise 3: when `deny` returns, no process issues a token to it any more, for the entry
and every token's record are ordered by the registry's lock. What it stopped is counted in the
same transaction, and every token bound to a certificate that the entry covers is revoked in it.
Where more is known of a certificate than its thumbprint, its content is denied with it, for a
thumbprint covers the CA's signature, and whoever has an ECDSA signature can write down another one
for the same content. Nothing else is: a content belongs to one certificate alone, whatever names and
numbers somebody wrote into his own. Not guaranteed: that a resource which asks nobody hears of it
before a token's end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app import clock
from app.admin.cascade import LONGEST, Cause, revoke_tokens
from app.admin.denial_target import (
    Target,
    as_key,
    from_rows,
    of_text,
    refuse_authority,
)
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.reasons import checked_reason
from app.audit import CertificateAllowed, CertificateDenied, CertificateEvidence
from app.store import audit, clients, credentials, denied, registry, tokens, trust, uses
from app.store.credentials import CredentialRow
from app.store.denied import DeniedRow, Kind
from app.store.engine import Transaction
from app.store.tokens import Outstanding
from app.store.uses import UseRow


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
    """The certificates known here that it covers: of a CA also those that bear its name as issuer."""
    outstanding: Outstanding
    """Unexpired tokens bound to these, as they were: revoked with it."""
    last_used: int | None
    content: bool
    """Whether a thumbprint's certificate is stopped under any signature.

    False: what its CA signed is not known, so only those very bytes are stopped.
    """


def deny(
    desk: Desk, text: str, kind: Kind = "thumbprint", *, reason: str = "", dry_run: bool = False
) -> Stopped:
    """Stop what `text` (a thumbprint or a certificate file) names, by `kind`.

    Raises:
        Problem: it names nothing, what is asked for is not known of it, or it would stop an anchor
            of a trust set, which is stopped by taking it out of the set.

    """
    checked_reason(reason)
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
            used = _used(conn, kind, target, digest)
            registered = credentials.by_thumbprint(conn, digest)
        refuse_authority(kind, target, trust.listed(conn))
        value = target.required(kind)
        content = target.tbs_sha256 if kind == "thumbprint" else ""
        thumbprints = _thumbprints(target, (*used, *_below(conn, target, now)), registered)
        known = {row.client_id for row in clients.listed(conn)}
        changed = not any(
            (row.kind, row.value) == (kind, value) and content in ("", row.tbs_sha256)
            for row in denied.listed(conn)
        )
        stopped = Stopped(
            kind,
            value,
            target,
            changed,
            tuple(sorted(known & _holders(used, registered))),
            thumbprints,
            tokens.outstanding(conn, now, thumbprints=thumbprints),
            max((use.last_used for use in used), default=None),
            bool(content),
        )
        if changed and not dry_run:
            denied.deny(
                conn, kind, value, reason=reason, actor=desk.actor, at=now, tbs_sha256=content
            )
            audit.append_admin(conn, _event(desk, stopped, reason))
        if not dry_run:  # of one that was denied before too: an older release left its tokens
            cause = Cause(CertificateDenied.name, reason)
            revoke_tokens(conn, desk.actor, cause, now, thumbprints=thumbprints)
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
    """Entries for its key, about other certificates too, and for its twin under another signature:
    acts of their own."""


def undo(desk: Desk, text: str, kind: Kind | None = None) -> Undone:
    """Take entries off the list, for mistakes: what it stopped may authenticate again.

    `text` is a value as `listed` gives it, a thumbprint or a certificate file. A certificate stands
    for every entry of its own, and for that of its key or of its twin where there is no other; `kind`
    says which.

    Raises:
        Problem: nothing on the list is named by it.

    """
    with registry.change(desk.db) as conn:
        rows = denied.listed(conn)
        named, target = {("any", text)}, Target(None)
        if all(row.value != text for row in rows):
            target = _known(conn, of_text(text))
            named = {(each, target.value(each) or "") for each in KINDS}
        found = [
            row
            for row in rows
            if kind in (None, row.kind) and {("any", row.value), (row.kind, row.value)} & named
        ]
        if not found and kind in (None, "thumbprint") and target.tbs_sha256:
            found = [row for row in rows if row.tbs_sha256 == target.tbs_sha256]
        still = [] if kind else _keys_of(conn, rows, found)
        found = [row for row in found if row not in still]
        still += _twins(rows, found)
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


def _twins(rows: Sequence[DeniedRow], found: Sequence[DeniedRow]) -> list[DeniedRow]:
    """The entries left for the content of the certificates among `found`."""
    contents = {row.tbs_sha256 for row in found} - {""}
    return [row for row in rows if row.tbs_sha256 in contents and row not in found]


def _used(conn: Transaction, kind: Kind, target: Target, digest: str) -> Sequence[UseRow]:
    if kind == "issuer_serial" and target.issuer and target.serial:
        return uses.by_serial(conn, target.issuer, target.serial)
    if target.tbs_sha256:
        return uses.by_content(conn, target.tbs_sha256)
    return uses.by_thumbprint(conn, digest)


KINDS: tuple[Kind, ...] = ("thumbprint", "spki", "issuer_serial")


def _below(conn: Transaction, target: Target, now: int) -> Sequence[UseRow]:
    """Uses of what a CA issued itself, as its name says, as long ago as a token may live.

    Their tokens may rest on it alone.
    """
    if not target.is_ca or not target.subject:
        return ()
    return uses.by_issuer(conn, target.subject, since=now - LONGEST)


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
            "content": stopped.content,
            "note": reason,
            "clients": list(stopped.clients),
            "tokens": stopped.outstanding.count,
            "tokens_until": stopped.outstanding.until,
        },
    )
