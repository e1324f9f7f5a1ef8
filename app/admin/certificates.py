"""A client's own certificates: adding a second one before the first ends, and retiring the old."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app import clock
from app.admin import boundary
from app.admin import clients as admin_clients
from app.admin.client_checks import Labels
from app.admin.credential import Credential, Keeping, certificate
from app.admin.denied_known import refuse_denied
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.audit import CertificateAdded, CertificateEvidence, CertificateRetired
from app.clients.methods import self_signed_tls_client_auth
from app.store import audit, clients, credentials, holders, registry, uses
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow


@dataclass(frozen=True, slots=True)
class Terms:
    """When a certificate counts, and for whom. Dates are seconds since the epoch."""

    activate_at: int | None = None
    retire_at: int | None = None
    keeping: Keeping = field(default_factory=Keeping)
    labels: Labels = field(default_factory=Labels)
    """Its own boundary labels; none: the client's."""


@dataclass(frozen=True, slots=True)
class CertificateAddition:
    """A certificate that was registered."""

    credential: Credential
    shares_key_with: tuple[str, ...]
    """Clients that hold its key already: reported, not refused, as the settings say."""
    crosses: str | None
    """How its label contradicts the client's: reported, not refused, as the settings say."""


@dataclass(frozen=True, slots=True)
class Retired:
    """What was retired, or will be, and how many of the client's credentials still count then."""

    digest: str
    left: int
    at: int | None
    """None: at once."""
    last_used: int | None
    """None: never."""


def add(desk: Desk, client_id: str, path: Path, activate_at: int | None = None) -> Credential:
    """Register one more certificate on usual terms; see `add_on`."""
    return add_on(desk, client_id, path, Terms(activate_at)).credential


def add_on(desk: Desk, client_id: str, path: Path, terms: Terms) -> CertificateAddition:
    """Register one more certificate; the others keep counting (RFC 8705 section 2.2).

    Raises:
        Problem: unknown client, one that is matched otherwise, dates that leave it no time, a key
            that another client holds, a label that contradicts the client's, or a certificate
            that is denied, registered already (even retired) or could never authenticate.

    """
    with desk.db.read() as conn:
        _require_own(client_id, path, clients.find(conn, client_id))
    _require_sense(terms)
    notes = {**terms.keeping.given(), **terms.labels.given()}
    policy = desk.settings.boundary_policy
    found = certificate(path, terms.activate_at)
    now = clock.now()
    with registry.change(desk.db) as conn:
        refuse_denied(conn, [found])
        # Asked again inside: the client may have gone meanwhile.
        client = _require_own(client_id, path, clients.find(conn, client_id))
        row = found.row(client_id, now, terms.activate_at, terms.retire_at, notes)
        if not credentials.add(conn, row):
            raise Problem(
                f"{client_id} has this certificate already",
                seen=found.digest,
                expected="a certificate that was never registered for it; a retired one stays retired",
                action=f"certbound client cert list {client_id}",
            )
        crosses = boundary.judge_credential(client, row, policy)
        holders.claim(
            conn, found.spki_sha256, client_id, client.tenant, now, proven=found.proves_key
        )
        sharing = boundary.judge(conn, client, found.spki_sha256, policy)
        audit.append_admin(
            conn,
            CertificateAdded(
                actor=desk.actor,
                client_id=client_id,
                certificate=_evidence(found),
                details=_details(terms, notes, sharing, crosses),
            ),
        )
    return CertificateAddition(found, sharing, crosses)


def retire(
    desk: Desk,
    client_id: str,
    text: str,
    at: int | None = None,
    *,
    postpone: bool = False,
    dry_run: bool = False,
) -> Retired:
    """The certificate (or key) that `text` names stops counting, on every node, for good.

    With `at`, a later moment, it stops by itself then; where an earlier one was announced, only
    with `postpone`. With `dry_run` all of it is taken back.

    Raises:
        Problem: unknown client, no thumbprint, no active credential of that thumbprint, or one that
            is announced to stop before.

    """
    digest = thumbprint_of(text)
    now = clock.now()
    later = at if at is not None and at > now else None
    with suppress(_Tried), registry.change(desk.db) as conn:
        client = clients.find(conn, client_id)
        if client is None:
            raise admin_clients.unknown(client_id)
        if later is None:
            done = credentials.retire(conn, client_id, digest, now)
        else:
            done = credentials.retire_at(conn, client_id, digest, later, now=now, postpone=postpone)
        if not done:
            _refuse_postponing(credentials.of_client(conn, client_id), digest, now)
            raise _nothing_to_retire(client, digest)
        audit.append_admin(
            conn,
            CertificateRetired(
                actor=desk.actor,
                client_id=client_id,
                certificate=CertificateEvidence(thumbprint=digest),
                details={} if later is None else {"retire_at": later},
            ),
        )
        counting = [
            one
            for one in credentials.of_client(conn, client_id)
            if one.phase(later or now) in ("active", "retiring")
            and (one.not_after is None or one.not_after > (later or now))
        ]
        last = [use for use in uses.of_client(conn, client_id) if use.thumbprint == digest]
        found = Retired(digest, len(counting), later, last[0].last_used if last else None)
        if dry_run:
            raise _Tried
    return found


class _Tried(Exception):
    """A dry run has seen enough."""


def _refuse_postponing(rows: Sequence[CredentialRow], digest: str, now: int) -> None:
    for row in rows:
        announced = row.retire_at
        named = digest in (row.thumbprint, row.spki_sha256 if row.kind == "key" else None)
        if named and row.state == "active" and announced is not None and announced > now:
            raise Problem(
                "this certificate is announced to stop earlier",
                seen=f"it stops counting at {clock.iso(announced)}",
                expected="an earlier time, or none: at once",
                action="If it is meant to count for longer than was announced, say so: --postpone",
            )


def _nothing_to_retire(client: ClientRow, digest: str) -> Problem:
    if client.auth_method != self_signed_tls_client_auth.NAME:
        return Problem(
            f"{client.client_id} has no registered certificates to retire",
            seen=f"{client.auth_method}: any certificate of its name from its trust sets counts",
            expected=f"a {self_signed_tls_client_auth.NAME} client",
            action=f"To stop this very certificate: certbound revoke cert {digest} --dry-run",
        )
    return Problem(
        f"{client.client_id} has no active certificate or key of this thumbprint",
        seen=digest,
        expected="one that certbound client cert list shows as active",
        action=f"certbound client cert list {client.client_id}",
    )


def _require_own(client_id: str, path: Path, row: ClientRow | None) -> ClientRow:
    """Only a client whose very certificates are registered can have one more."""
    if row is None:
        raise admin_clients.unknown(client_id)
    if row.auth_method != self_signed_tls_client_auth.NAME:
        raise Problem(
            f"{client_id} needs no registration of its certificates",
            seen=f"{row.auth_method}, matched by {admin_clients.name_text(row)}",
            expected="a self_signed_tls_client_auth client",
            action="A new certificate from a trusted CA with the same name is accepted at once. Try it:",
            command=("certbound", "client", "rehearse", client_id, str(path)),
        )
    if row.jwks_uri is not None:
        raise Problem(
            f"{client_id} publishes its own certificates and keys",
            seen=f"jwks_uri {row.jwks_uri}",
            expected="a client without jwks_uri (RFC 7591 section 2: one or the other)",
            action="Publish the new certificate there.",
        )
    return row


def _require_sense(terms: Terms) -> None:
    start = max(terms.activate_at or 0, clock.now())
    if terms.retire_at is not None and terms.retire_at <= start:
        raise Problem(
            "the certificate would never count",
            seen=f"retired at {clock.iso(terms.retire_at)}",
            expected=f"a time after {clock.iso(start)}",
        )


def _details(
    terms: Terms, notes: Mapping[str, str], sharing: tuple[str, ...], crosses: str | None
) -> dict[str, object]:
    details: dict[str, object] = {name: text for name, text in notes.items() if text}
    if terms.activate_at is not None:
        details["activate_at"] = terms.activate_at
    if terms.retire_at is not None:
        details["retire_at"] = terms.retire_at
    if sharing:
        details["shares_key_with"] = list(sharing)
    if crosses:
        details["crosses"] = crosses
    return details


def _evidence(found: Credential) -> CertificateEvidence:
    facts = found.facts
    if facts is None:
        return CertificateEvidence(thumbprint=found.digest)
    return CertificateEvidence(
        thumbprint=facts.thumbprint,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        not_after=facts.not_after,
    )
