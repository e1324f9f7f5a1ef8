"""What cryptography's path verifier demands of extensions, for paths of private client CAs.

Its web defaults (CA/Browser Forum) are the base; relaxed is only what RFC 5280 path validation
does not ask for and private CAs leave out, the same list as in `app.pki.path`.
"""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

_ANY = Criticality.AGNOSTIC


def _client_purpose(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("extended key usage without clientAuth")


def _authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("basicConstraints without CA:TRUE")


def _signing_usage(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyUsage without keyCertSign")


CLIENT = (
    ExtensionPolicy.webpki_defaults_ee()
    # Clients identified by their subject have no SAN, and the subject may stand beside one.
    .may_be_present(x509.SubjectAlternativeName, _ANY, None)
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
    .require_present(x509.ExtendedKeyUsage, _ANY, _client_purpose)
)
"""A client's certificate: clientAuth, not a CA, no keyCertSign; SAN optional."""

CA = (
    ExtensionPolicy.webpki_defaults_ca()
    .require_present(x509.BasicConstraints, _ANY, _authority)
    .may_be_present(x509.KeyUsage, _ANY, _signing_usage)
    .may_be_present(x509.SubjectKeyIdentifier, _ANY, None)
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
)
"""A CA: basicConstraints CA:TRUE, keyCertSign where keyUsage is present."""
