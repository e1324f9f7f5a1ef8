"""The operator's deny-list: what `certbound revoke cert` stopped, whoever vouches for it."""

from app.errors import Examination, Finding, Reason
from app.pki.check import CertificateFacts, TrustedCertificate
from app.store.denied import Denied, issuer_serial


def examine(exam: Examination, denied: Denied, trusted: TrustedCertificate) -> None:
    """Note whether a certificate, its key, or its issuer and serial number is denied.

    Looks at every certificate of the path that vouches, the anchor included, whether it came from
    the trust set or from the client. Does not look for another path that avoids a denied CA.
    """
    found = entry(denied, trusted.facts)
    if found is not None:
        exam.note(
            _finding(
                f"denied by {found}",
                "Give the client a new certificate with a new key. certbound revoke list says who "
                "denied this one, when and why.",
            )
        )
        return
    for issuer in trusted.issuers:
        found = entry(denied, issuer)
        if found is not None:
            # Only a CA that a pinned one vouches for gets here: its name is no stranger's text.
            exam.note(
                _finding(
                    f"its CA {issuer.subject} is denied by {found}",
                    "Give the client a certificate of another CA. certbound revoke list says who "
                    "denied this one, when and why.",
                )
            )
            return
    exam.note(Finding("deny-list", "not on it"))


def _finding(seen: str, action: str) -> Finding:
    expected = "a certificate that was not revoked"
    return Finding("deny-list", seen, expected, action, Reason.REVOKED)


def names(denied: Denied, facts: CertificateFacts) -> bool:
    """Whether this certificate is denied, by whichever name."""
    return entry(denied, facts) is not None


def entry(denied: Denied, facts: CertificateFacts) -> str | None:
    """What on the list names this certificate, in words; None: nothing."""
    if facts.thumbprint in denied.thumbprints:
        return f"thumbprint {facts.thumbprint}"
    if facts.tbs_sha256 in denied.contents:
        return "the thumbprint of its twin, the same content under another signature"
    if facts.spki_sha256 in denied.spkis:
        return f"key {facts.spki_sha256}"
    if denied.issuer_serials and issuer_serial(facts.issuer, facts.serial) in denied.issuer_serials:
        return f"issuer and serial {facts.serial}"
    return None
