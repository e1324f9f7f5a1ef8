"""What an operator wants stopped: from a thumbprint or a file to what the deny-list can name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.admin.certificate_file import read_chain
from app.admin.credential import readable
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.pki import check
from app.pki.check import CertificateFacts
from app.store.credentials import CredentialRow
from app.store.denied import Kind, issuer_serial
from app.store.trust import TrustAnchorRow, TrustSetRow
from app.store.uses import UseRow

_WORDS: dict[Kind, str] = {
    "thumbprint": "thumbprint",
    "spki": "public key",
    "issuer_serial": "issuer and serial number",
}


@dataclass(frozen=True, slots=True)
class Target:
    """As much of a certificate as is known."""

    thumbprint: str | None
    """None: a key was named, not a certificate."""
    spki_sha256: str | None = None
    issuer: str | None = None
    serial: str | None = None
    subject: str | None = None
    is_ca: bool = False
    """False also where that is not known."""
    tbs_sha256: str = ""
    """Of what its CA signed; empty: not known."""

    @property
    def self_issued(self) -> bool:
        """It names itself as its issuer: whoever has the key makes others like it."""
        return self.subject is not None and self.subject == self.issuer

    def value(self, kind: Kind) -> str | None:
        """What the deny-list would hold; None where that is not known."""
        if kind == "thumbprint":
            return self.thumbprint
        if kind == "spki":
            return self.spki_sha256
        if self.issuer is None or self.serial is None:
            return None
        return issuer_serial(self.issuer, self.serial)

    def required(self, kind: Kind) -> str:
        """The same.

        Raises:
            Problem: it is not known.

        """
        value = self.value(kind)
        if value is None:
            raise Problem(
                f"the {_WORDS[kind]} of this certificate is not known here",
                seen=self.thumbprint or self.spki_sha256 or "",
                expected="a certificate that a client registered or was seen with",
                action="Name the certificate's file instead of its thumbprint.",
            )
        return value


def of_text(text: str) -> Target:
    """What a thumbprint, in any spelling, or a certificate file names.

    Raises:
        Problem: it is neither.

    """
    path = Path(text)
    if not path.is_file():
        return Target(thumbprint_of(text))
    return of_facts(readable(path, read_chain(path)[0]))


def of_facts(facts: CertificateFacts) -> Target:
    """All of a certificate."""
    return Target(
        facts.thumbprint,
        facts.spki_sha256,
        facts.issuer,
        facts.serial,
        facts.subject,
        facts.is_ca,
        facts.tbs_sha256,
    )


def as_key(spki_sha256: str) -> Target:
    """A key by itself."""
    return Target(None, spki_sha256)


def from_rows(typed: Target, used: Sequence[UseRow], registered: Sequence[CredentialRow]) -> Target:
    """The same with what the database knows of this thumbprint."""
    if typed.spki_sha256 is not None:
        return typed
    for use in used:
        return Target(
            typed.thumbprint,
            use.spki_sha256,
            use.issuer,
            use.serial,
            use.subject,
            tbs_sha256=use.tbs_sha256,
        )
    for row in registered:
        if row.der is not None:
            facts = readable(Path("the registered certificate"), row.der)
            return of_facts(facts)
    return typed


def _authority(kind: Kind, target: Target, sets: Sequence[TrustSetRow]) -> tuple[str, str] | None:
    """The trust set, and its anchor's thumbprint, that this entry of the deny-list would stop.

    Other members are path material, which clients send along too: these are denied like any.
    """
    value = target.value(kind) or target.thumbprint
    for one in sets:
        for row in one.anchors:
            if row.role != "anchor":
                continue
            member = _member(row)
            twin = kind == "thumbprint" and target.tbs_sha256 == member.tbs_sha256 != ""
            if twin or value in (row.thumbprint, member.value(kind)):
                return one.name, row.thumbprint
    return None


def refuse_authority(kind: Kind, target: Target, sets: Sequence[TrustSetRow]) -> None:
    """Anchors of trust sets are taken out of their set instead, where everybody looks for them.

    Raises:
        Problem: the entry would stop an anchor of a trust set.

    """
    found = _authority(kind, target, sets)
    if found is not None:
        name, thumbprint = found
        raise Problem(
            f"this is a CA certificate of the trust set {name}",
            seen=thumbprint,
            expected="a certificate that is no anchor; an anchor is stopped by taking it out",
            action=f"certbound trust remove {name} {thumbprint} --dry-run",
        )


def _member(row: TrustAnchorRow) -> Target:
    try:
        facts = check.describe(row.der)
    except ValueError:  # its set vouches for nobody; the thumbprint is still known
        return Target(row.thumbprint)
    return of_facts(facts)
