"""Which keys and signatures are strong enough, for leaves and for the CAs above them.

Leaf: RSA 2048 to 8192 bits with an odd exponent from 3 to 2**32, EC P-256/384/521, Ed25519. A CA
may also hold Ed448. Signatures: SHA-256/384/512 with RSA (PKCS#1 v1.5 or PSS) or ECDSA, or EdDSA;
the signature on a trust anchor is never looked at, because the anchor is pinned as it is.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

MIN_RSA_BITS = 2048  # 112 bits of strength, NIST SP 800-131A
MAX_RSA_BITS = 8192  # a 16384-bit key costs a verifier milliseconds per signature
_MAX_EXPONENT = 2**32  # larger ones only make verification slower; no CA issues them

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_EDDSA = frozenset({SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448})
_HASHED = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,  # its hash is a parameter, asked for separately
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)


def key_text(key: object) -> str:
    """A key for people: ``EC P-256``, ``RSA 2048``, ``Ed25519``."""
    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case dsa.DSAPublicKey():
            return f"DSA {key.key_size}"
        case _:
            return "unknown key type"


def leaf_key_fault(key: object) -> str | None:
    """What is wrong with a client's key, or None."""
    return None if isinstance(key, ed25519.Ed25519PublicKey) else _rsa_or_ec_fault(key)


def issuer_key_fault(key: object) -> str | None:
    """What is wrong with a CA's key, or None."""
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return None
    return _rsa_or_ec_fault(key)


def signature_fault(certificate: x509.Certificate | x509.CertificateRevocationList) -> str | None:
    """What is wrong with the algorithm that signed a certificate or CRL, or None."""
    oid = certificate.signature_algorithm_oid
    if oid in _EDDSA:
        return None
    try:
        digest = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        digest = None
    if oid in _HASHED and isinstance(digest, _HASHES):
        return None
    return f"algorithm {oid.dotted_string} with {digest.name if digest else 'an unknown hash'}"


def _rsa_or_ec_fault(key: object) -> str | None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if key.curve.name in _CURVES else f"curve {key.curve.name}"
    if not isinstance(key, rsa.RSAPublicKey):
        return key_text(key)
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return f"RSA {key.key_size}"
    exponent = key.public_numbers().e
    if not (3 <= exponent < _MAX_EXPONENT and exponent % 2):  # noqa: PLR2004 - 1 would make every signature valid
        return "an RSA exponent that is even, below 3 or above 2**32"
    return None


def key_affordable(key: object) -> bool:
    """Whether a CA certificate that a client sent may take part in path building at all.

    Verifying with an 8192-bit RSA key costs 0.2 ms; larger and unknown keys are left out before
    anything is computed with them. Weak ones stay in, so that the refusal can say so.
    """
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= MAX_RSA_BITS
    return isinstance(
        key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    )
