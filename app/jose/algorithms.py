"""`ALGORITHMS`: what a signing key may sign with. A new algorithm is one more row.

Asymmetric signatures only: a table without ``none`` and HMAC cannot be talked into them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Sign = Callable[[bytes], bytes]

RSA_BITS = 2048
"""Size of our own RSA keys. They are rotated; 3072 bits would make each token cost 2.5 times as much."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row: a registered ``alg`` (RFC 7518 section 3.1, RFC 8037 section 3.1) and its key."""

    name: str
    kty: str
    crv: str | None
    generate: Callable[[], PrivateKey]
    signer: Callable[[Any], Sign]
    """Binds a private key; the result turns octets into the JOSE form of their signature."""

    def fits(self, key: PublicKey) -> bool:
        """Whether `key` is of this algorithm's kind, curve and least size."""
        if isinstance(key, rsa.RSAPublicKey):
            return self.kty == "RSA" and key.key_size >= 2048  # noqa: PLR2004  # RFC 7518 sections 3.3, 3.5
        if isinstance(key, ec.EllipticCurvePublicKey):
            return self.crv == "P-256" and key.curve.name == "secp256r1"
        return self.crv == "Ed25519"


def _sign_es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    scheme = ec.ECDSA(hashes.SHA256())

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, scheme))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")  # RFC 7518 section 3.4

    return sign


def _sign_ps256(key: rsa.RSAPrivateKey) -> Sign:
    digest = hashes.SHA256()
    # RFC 7518 section 3.5: the salt is as long as the digest.
    scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
    return lambda data: key.sign(data, scheme, digest)


def _sign_rs256(key: rsa.RSAPrivateKey) -> Sign:
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda data: key.sign(data, scheme, digest)


def _sign_eddsa(key: ed25519.Ed25519PrivateKey) -> Sign:
    return key.sign


def _generate_ec() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _generate_rsa() -> PrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


ALGORITHMS: dict[str, Algorithm] = {
    row.name: row
    for row in (
        Algorithm("ES256", "EC", "P-256", _generate_ec, _sign_es256),
        Algorithm("EdDSA", "OKP", "Ed25519", ed25519.Ed25519PrivateKey.generate, _sign_eddsa),
        Algorithm("PS256", "RSA", None, _generate_rsa, _sign_ps256),
        Algorithm("RS256", "RSA", None, _generate_rsa, _sign_rs256),
    )
}


def public_jwk(key: PublicKey) -> dict[str, str]:
    """The members that make up the public key and nothing else (RFC 7518 section 6, RFC 8037)."""
    wrapped: ECKey | OKPKey | RSAKey
    if isinstance(key, rsa.RSAPublicKey):
        wrapped = RSAKey.import_key(key)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        wrapped = ECKey.import_key(key)
    else:
        wrapped = OKPKey.import_key(key)
    return cast("dict[str, str]", wrapped.as_dict(private=False))


def spki(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER, in the one form the library writes for this key."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
