"""What a client certificate issued by a CA must look like, beyond lying on a valid path.

Required: the clientAuth purpose, named as such (RFC 5280 section 4.2.1.12); *anyExtendedKeyUsage*
does not count. Refused: a CA certificate, and one that may sign certificates. ``keyUsage`` may be
absent (RFC 5280 section 4.2.1.3 then leaves the key unrestricted, and certificates made with
``openssl x509 -req`` commonly lack it); where it is present, it must allow digitalSignature,
because that is what the handshake used the key for. Registered self-signed certificates are not
asked for purpose or usage: they are compared as a whole (RFC 8705 section 2.2).
"""

from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.clock import iso
from app.errors import Examination, Finding, Reason
from app.pki.key_policy import leaf_key_fault, signature_fault
from app.pki.leaf import Leaf

E = TypeVar("E", bound=x509.ExtensionType)

_CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH


def examine_dates(exam: Examination, leaf: Leaf, now: int) -> None:
    """Note whether `now` lies in the validity period. No allowance for skewed clocks.

    At notAfter itself the certificate has ended: a token's lifetime is capped there, and one that
    lives zero seconds helps nobody (RFC 5280 counts the last second in).
    """
    facts = leaf.facts
    seen = f"valid from {iso(facts.not_before)} to {iso(facts.not_after)}"
    if now < facts.not_before:
        action = "check the clocks of the issuing CA and of this server"
        reason = Reason.NOT_YET_VALID
    elif now >= facts.not_after:
        action, reason = "renew the client's certificate", Reason.EXPIRED
    else:
        exam.note(Finding("dates", seen))
        return
    exam.note(Finding("dates", seen, f"server clock {iso(now)}", action, reason))


def examine_key(exam: Examination, leaf: Leaf) -> None:
    """Note whether the client's key is of an allowed type and strength."""
    if leaf_key_fault(leaf.public_key) is None:
        exam.note(Finding("key", leaf.facts.key))
        return
    exam.note(
        Finding(
            "key",
            leaf_key_fault(leaf.public_key) or "",
            "RSA of 2048 to 8192 bits, EC P-256, P-384 or P-521, or Ed25519",
            "make a new key and have it certified",
            Reason.WEAK_KEY,
        )
    )


def examine_signature(exam: Examination, leaf: Leaf) -> None:
    """Note whether the certificate was signed with SHA-2 (or EdDSA)."""
    fault = signature_fault(leaf.certificate)
    if fault is None:
        exam.note(Finding("signature", _algorithm(leaf.certificate)))
        return
    exam.note(
        Finding(
            "signature",
            fault,
            "SHA-256, SHA-384 or SHA-512 with RSA or ECDSA, or EdDSA",
            "have the certificate reissued with a SHA-2 signature",
            Reason.WEAK_SIGNATURE,
        )
    )


def examine_usage(exam: Examination, leaf: Leaf) -> None:
    """Note whether the certificate is meant for clients, and is not a CA's."""
    faults = [
        fault
        for fault in (_purpose_fault(leaf), _authority_fault(leaf), _key_usage_fault(leaf))
        if fault is not None
    ]
    for fault in faults:
        exam.note(fault)
    if not faults:
        exam.note(Finding("usage", "TLS client"))


def _purpose_fault(leaf: Leaf) -> Finding | None:
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and _CLIENT_AUTH in usages:
        return None
    return Finding(
        "usage",
        seen="no extended key usage"
        if usages is None
        else "extended key usage " + ", ".join(usage.dotted_string for usage in usages),
        expected="extended key usage clientAuth (1.3.6.1.5.5.7.3.2)",
        action="have the certificate issued for TLS clients (openssl: extendedKeyUsage=clientAuth)",
        reason=Reason.EKU_MISSING_CLIENT_AUTH,
    )


def _authority_fault(leaf: Leaf) -> Finding | None:
    if not leaf.facts.is_ca:
        return None
    return Finding(
        "usage",
        seen="a CA certificate",
        expected="an end-entity certificate",
        action="issue a certificate for the client under this CA and present that",
        reason=Reason.KEY_USAGE,
    )


def _key_usage_fault(leaf: Leaf) -> Finding | None:
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or (usage.digital_signature and not usage.key_cert_sign):
        return None
    return Finding(
        "usage",
        seen="key usage keyCertSign"
        if usage.key_cert_sign
        else "key usage without digitalSignature",
        expected="key usage digitalSignature, not keyCertSign",
        action="have the certificate issued with keyUsage=digitalSignature",
        reason=Reason.KEY_USAGE,
    )


def _extension(leaf: Leaf, kind: type[E]) -> E | None:
    try:
        return leaf.certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _algorithm(certificate: x509.Certificate) -> str:
    digest = certificate.signature_hash_algorithm
    return digest.name.upper() if digest is not None else "EdDSA"
