"""A certificate or key about to be registered, judged as the token endpoint would judge it.

Guarantees that a registered certificate is one that the endpoint would accept from its holder, at
the moment from which it shall count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from app import clock
from app.admin.certificate_file import read_chain
from app.admin.problem import Problem
from app.errors import Examination, Refused
from app.pki import check
from app.pki.check import CertificateFacts, Registered
from app.pki.issued import signed
from app.pki.leaf import read_leaf
from app.store.credentials import CredentialRow, Custody
from app.tls.peer import PeerCertificate

NO_NOTES: Mapping[str, str] = MappingProxyType({})
MAX_OWNER = 200
"""Characters."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Who answers for a private key and where it is kept, as somebody says. None: as it is."""

    custody: Custody | None = None
    owner: str | None = None

    def given(self) -> dict[str, str]:
        """What is to be noted.

        Raises:
            Problem: the owner is too long.

        """
        if self.owner is not None and len(self.owner) > MAX_OWNER:
            raise Problem(
                "the owner is too long",
                seen=f"{len(self.owner)} characters",
                expected=f"at most {MAX_OWNER}",
            )
        found = {"custody": self.custody, "owner": self.owner}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate or key about to be registered."""

    kind: Literal["certificate", "key"]
    spki_sha256: str
    spki_der: bytes
    der: bytes | None = None
    facts: CertificateFacts | None = None
    source: Literal["registered", "jwks"] = "registered"

    @property
    def digest(self) -> str:
        """What names it afterwards: the certificate's thumbprint, or the key's hash."""
        return self.facts.thumbprint if self.facts else self.spki_sha256

    @property
    def proves_key(self) -> bool:
        """Whether the key itself signed what is registered: a public key anybody may name."""
        if self.der is None:
            return False
        certificate = read_leaf(self.der).certificate
        return signed(certificate, certificate)

    def row(
        self,
        client_id: str,
        now: int,
        activate_at: int | None = None,
        retire_at: int | None = None,
        notes: Mapping[str, str] = NO_NOTES,
    ) -> CredentialRow:
        """The row that registers it; `notes` are custody, owner and labels, those that were given."""
        facts = self.facts
        row = CredentialRow(
            client_id=client_id,
            kind=self.kind,
            spki_sha256=self.spki_sha256,
            spki_der=self.spki_der,
            created_at=now,
            thumbprint=facts.thumbprint if facts else None,
            der=self.der,
            subject=facts.subject if facts else None,
            not_before=facts.not_before if facts else None,
            not_after=facts.not_after if facts else None,
            activate_at=activate_at,
            retire_at=retire_at,
            source=self.source,
        )
        noted: dict[str, Any] = dict(notes)  # their names are the row's, their values were checked
        return replace(row, **noted)


def readable(path: Path, der: bytes) -> CertificateFacts:
    """What the certificate says.

    Raises:
        Problem: it is malformed.

    """
    try:
        return check.describe(der)
    except ValueError as error:
        if "X.509 v1" in str(error):
            raise Problem(
                f"{path} holds a certificate without extensions",
                seen=str(error),
                expected="X.509 version 3, PEM or DER",
                action="Issue it with extensions: openssl x509 -req … -extfile client.ext, "
                "where client.ext holds extendedKeyUsage=clientAuth",
            ) from error
        raise Problem(
            f"{path} holds a malformed certificate",
            seen=str(error),
            expected="X.509 version 3, PEM or DER",
            action="Have it reissued.",
        ) from error


def certificate(path: Path, activate_at: int | None = None) -> Credential:
    """The first certificate in `path`, to be registered as a whole.

    Raises:
        Problem: it cannot be read, or could never authenticate from `activate_at` on.

    """
    der = read_chain(path)[0]
    found = Credential("certificate", "", b"", der, readable(path, der))
    return judged(path, found, activate_at)


def judged(path: Path, found: Credential, activate_at: int | None) -> Credential:
    """The credential, after the token endpoint's own check said that it would do.

    Raises:
        Problem: it would never be accepted.

    """
    if found.facts is None or found.der is None:
        return found
    facts = found.facts
    # A certificate may be registered before it is in date, never after.
    moment = max(clock.now(), activate_at or 0, facts.not_before)
    registered = Registered(
        "certificate", facts.thumbprint, facts.spki_sha256, facts.spki_der, "active"
    )
    peer = PeerCertificate(found.der, (), "", "")
    try:
        check.by_registration(Examination(), peer, [registered], moment)
    except Refused as refused:
        finding = refused.finding
        raise Problem(
            f"the certificate in {path} would never be accepted ({finding.reason})",
            seen=finding.seen,
            expected=finding.expected,
            action=f"{finding.action[:1].upper()}{finding.action[1:]}",
        ) from refused
    return Credential(found.kind, facts.spki_sha256, facts.spki_der, found.der, facts, found.source)


def digests(credentials: Sequence[Credential]) -> list[str]:
    """The names of several credentials, for the audit."""
    return [credential.digest for credential in credentials]
