"""What the audit says of the denials of one certificate."""

from collections.abc import Iterable, Sequence

from app.admin.audit_search import search
from app.admin.desk import Desk
from app.audit import CertificateAllowed, CertificateDenied
from app.store.audit import AuditRow, Wanted
from app.store.denied import issuer_serial
from app.store.told import told
from app.store.uses import UseRow

MOST = 10_000
"""Entries of one kind that are read for a note; `Incident.more` says where there are more."""


def names_of(thumbprint: str, used: Sequence[UseRow]) -> set[tuple[str, str]]:
    """Kind and value by which an entry of the deny-list may name it; of a use its key and serial."""
    names = {("thumbprint", thumbprint)}
    for use in used[:1]:
        names |= {
            ("spki", use.spki_sha256),
            ("issuer_serial", issuer_serial(use.issuer, use.serial)),
        }
    return names


def denials_of(desk: Desk, thumbprint: str, used: Sequence[UseRow]) -> Iterable[AuditRow]:
    """Entries of its denials and of their end, by its thumbprint, key or serial number.

    Nothing is found by key or serial number of a certificate that was never used here.
    """
    names = names_of(thumbprint, used)
    rows = {}
    for event in (CertificateDenied.name, CertificateAllowed.name):
        for row in search(desk, Wanted(thumbprint=thumbprint, event=event), MOST).rows:
            rows[row.writer, row.seq] = row
        for _, value in names:
            piece = value.partition(" ")[0]  # an issuer's name may be escaped in the entry
            for row in search(desk, Wanted(words=(piece,), event=event), MOST).rows:
                details = told(row.body).get("details") or {}
                if (details.get("kind"), details.get("value")) in names:
                    rows[row.writer, row.seq] = row
    return rows.values()
