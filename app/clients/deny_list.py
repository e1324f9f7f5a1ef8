"""The operator's deny-list: what `certbound revoke cert` stopped, whoever vouches for it."""

from app.errors import Examination, Finding, Reason
from app.pki.check import TrustedCertificate
from app.store.denied import Denied, issuer_serial


def examine(exam: Examination, denied: Denied, trusted: TrustedCertificate) -> None:
    """Note whether the certificate, its key, or its issuer and serial number are denied.

    Looks at the leaf alone: an issuing CA is stopped by taking it out of its trust set.
    """
    found = _entry(denied, trusted)
    if found is None:
        exam.note(Finding("deny-list", "not on it"))
        return
    exam.note(
        Finding(
            "deny-list",
            f"denied by {found}",
            "a certificate that was not revoked",
            "Give the client a new certificate with a new key. certbound revoke list says who "
            "denied this one, when and why.",
            Reason.REVOKED,
        )
    )


def _entry(denied: Denied, trusted: TrustedCertificate) -> str | None:
    if trusted.peer.thumbprint in denied.thumbprints:
        return f"thumbprint {trusted.peer.thumbprint}"
    if trusted.spki_sha256 in denied.spkis:
        return f"key {trusted.spki_sha256}"
    if denied.issuer_serials and (
        issuer_serial(trusted.issuer, trusted.serial) in denied.issuer_serials
    ):
        return f"issuer and serial {trusted.serial}"
    return None
