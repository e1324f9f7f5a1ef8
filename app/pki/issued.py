"""Whether one certificate's key signed another: for delegated signers of CRLs and OCSP answers.

Guarantees a SHA-2 or EdDSA signature by a key that this server can afford to compute with. Not a
path: dates, names, extensions and revocation are for the caller.
"""

from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from app.pki.key_policy import key_affordable, signature_fault


@lru_cache(maxsize=1024)  # a signature costs 100 µs, and these pairs are few: signers and CAs
def signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`; names must fit, octet by octet."""
    try:
        if signature_fault(certificate) is not None or not key_affordable(issuer.public_key()):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
