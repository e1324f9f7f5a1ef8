"""The deny-list as operators look at it: is this certificate, or the CA that issued it, on it?

Guarantees nothing that decisions depend on: those look at the whole path (`clients.deny_list`).
Here a CA that clients send along is known by the name that the audit noted when it was denied, and
only the CA that issued the certificate itself is looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.admin.credential import Credential, readable
from app.admin.problem import Problem
from app.clients.deny_list import entry
from app.pki.check import CertificateFacts
from app.store import audit, denied, trust
from app.store.credentials import CredentialRow
from app.store.denied import Denied, issuer_serial
from app.store.engine import Transaction
from app.store.told import told
from app.store.trust import TrustAnchorRow, TrustSetRow
from app.store.uses import UseRow


@dataclass(frozen=True, slots=True)
class DenyList:
    """What is denied as of one transaction."""

    entries: Denied
    authorities: frozenset[str]
    """Subjects (RFC 4514) of denied CA certificates, as far as known."""

    @classmethod
    def read(cls, conn: Transaction) -> "DenyList":
        """As this transaction sees it."""
        entries = denied.snapshot(conn)
        if entries == Denied():
            return cls(entries, frozenset())
        members = {subject for row in trust.listed(conn) for subject in _members(row, entries)}
        noted = {subject for text in audit.denials(conn) if (subject := _noted(text, entries))}
        return cls(entries, frozenset(members | noted))

    def __bool__(self) -> bool:
        """Whether anything is on it."""
        return self.entries != Denied()

    def of_use(self, use: UseRow) -> str:
        """How a certificate that was seen is denied, in words; empty: it is not."""
        if use.thumbprint in self.entries.thumbprints:
            return f"thumbprint {use.thumbprint}"
        if use.tbs_sha256 in self.entries.contents:
            return "the thumbprint of its twin, the same content under another signature"
        if use.spki_sha256 in self.entries.spkis:
            return f"key {use.spki_sha256}"
        if issuer_serial(use.issuer, use.serial) in self.entries.issuer_serials:
            return f"issuer and serial {use.serial}"
        if use.trust_set is not None and use.issuer in self.authorities:
            return f"its CA {use.issuer}"
        return ""

    def of_row(self, row: CredentialRow) -> str:
        """How a registered certificate or key is denied, in words; empty: it is not."""
        if row.der is not None and (self.entries.issuer_serials or self.entries.contents):
            return self.of_facts(readable(Path("the registered certificate"), row.der))
        if row.thumbprint in self.entries.thumbprints:
            return f"thumbprint {row.thumbprint}"
        return f"key {row.spki_sha256}" if row.spki_sha256 in self.entries.spkis else ""

    def of_facts(self, facts: CertificateFacts) -> str:
        """How a certificate by itself is denied, in words; empty: it is not."""
        return entry(self.entries, facts) or ""


def among(conn: Transaction, rows: Sequence[TrustAnchorRow]) -> dict[str, str]:
    """How those of these members that are denied are so, in words, by thumbprint."""
    known = DenyList.read(conn)
    found = {
        row.thumbprint: known.of_facts(readable(Path("the trust set"), row.der)) for row in rows
    }
    return {thumbprint: how for thumbprint, how in found.items() if how}


def refuse_denied(conn: Transaction, found: Sequence[Credential | CertificateFacts]) -> None:
    """Refuse to register what the deny-list stops.

    Raises:
        Problem: one is on it; with the command that takes it off.

    """
    entries = denied.snapshot(conn)
    for one in found:
        facts = one.facts if isinstance(one, Credential) else one
        key = one.spki_sha256
        if facts is not None:
            how = entry(entries, facts)
        else:
            how = f"key {key}" if key in entries.spkis else None
        if how is None:
            continue
        thumbprint = facts.thumbprint if facts is not None else ""
        value = next(
            (
                each
                for each, those in ((thumbprint, entries.thumbprints), (key, entries.spkis))
                if each in those
            ),
            None,
        )
        raise Problem(
            "this is on the deny-list: nobody gets a token with it",
            seen=f"denied by {how}",
            expected="a certificate and key that are not denied",
            action="Have the client make a new key. certbound revoke list says who denied this "
            "one, when and why."
            + ("" if value is None else " Only if that was a mistake, take it off the list:"),
            command=("certbound", "revoke", "undo", value) if value is not None else (),
        )


def _members(row: TrustSetRow, entries: Denied) -> list[str]:
    """Subjects of denied members: denied before they joined, or by another's key."""
    found = []
    for member in row.anchors:
        try:
            facts = readable(Path("the trust set"), member.der)
        except Problem:
            continue
        if entry(entries, facts) is not None:
            found.append(facts.subject)
    return found


def _noted(text: str, entries: Denied) -> str | None:
    """The subject of the certificate that an audit entry denied, where it still is."""
    body: Mapping[str, Mapping[str, object]] = told(text)
    details, certificate = body.get("details") or {}, body.get("certificate") or {}
    held: Mapping[object, frozenset[str]] = {
        "thumbprint": entries.thumbprints,
        "spki": entries.spkis,
        "issuer_serial": entries.issuer_serials,
    }
    subject = certificate.get("subject")
    denied_still = str(details.get("value")) in held.get(str(details.get("kind")), frozenset())
    return subject if denied_still and isinstance(subject, str) and subject else None
