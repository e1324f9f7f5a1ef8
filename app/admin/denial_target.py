"""What an operator wants stopped: from a thumbprint or a file to what the deny-list can name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.admin.certificate_file import read_chain
from app.admin.credential import readable
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.store.credentials import CredentialRow
from app.store.denied import Kind, issuer_serial
from app.store.trust import TrustSetRow
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
    facts = readable(path, read_chain(path)[0])
    return Target(facts.thumbprint, facts.spki_sha256, facts.issuer, facts.serial, facts.subject)


def as_key(spki_sha256: str) -> Target:
    """A key by itself."""
    return Target(None, spki_sha256)


def from_rows(typed: Target, used: Sequence[UseRow], registered: Sequence[CredentialRow]) -> Target:
    """The same with what the database knows of this thumbprint."""
    if typed.spki_sha256 is not None:
        return typed
    for use in used:
        return Target(typed.thumbprint, use.spki_sha256, use.issuer, use.serial, use.subject)
    for row in registered:
        if row.der is not None:
            facts = readable(Path("the registered certificate"), row.der)
            return Target(
                typed.thumbprint, facts.spki_sha256, facts.issuer, facts.serial, facts.subject
            )
    return typed


def refuse_authority(target: Target, sets: Sequence[TrustSetRow]) -> None:
    """The deny-list looks at clients' certificates alone: it would not stop a CA.

    Raises:
        Problem: the certificate is a member of a trust set.

    """
    for one in sets:
        if any(row.thumbprint == target.thumbprint for row in one.anchors):
            raise Problem(
                f"this is a CA certificate of the trust set {one.name}",
                seen=target.thumbprint or "",
                expected="a client's certificate; a CA is stopped by taking it out of its set",
                action=f"certbound trust remove {one.name} {target.thumbprint} --dry-run",
            )
