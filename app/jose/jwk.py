"""One public key as a JWK (RFC 7517, RFC 7518 section 6, RFC 8037), and which keys we accept.

Everything that goes wrong is a `ValueError` whose message continues "the key …".
"""

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from app.jose import base64url
from app.jose.algorithms import PublicKey

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1; RFC 8037 section 2."""

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
RSA_BITS = range(2048, 8192 + 1)
"""Below: too weak (NIST SP 800-131A). Above: one verification takes milliseconds of our time."""
RSA_EXPONENTS = range(3, 2**32)
"""A longer exponent only makes verification slow; OpenSSL itself draws its line at 64 bits."""

_WANTED = "an RSA key of 2048 to 8192 bits, an EC key on P-256, P-384 or P-521, or an Ed25519 key"


def accept(key: object) -> PublicKey:
    """`key` itself if it is of a kind and size that we let anybody authenticate with.

    Raises:
        ValueError: it is not.

    """
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if key.key_size not in RSA_BITS:
            raise ValueError(f"has {key.key_size} bits; needed is {_WANTED}")
        if exponent not in RSA_EXPONENTS or exponent % 2 == 0:
            raise ValueError("has an unusual public exponent; usual is 65537")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise ValueError(f"is on the curve {key.curve.name}; needed is {_WANTED}")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise ValueError(f"is of an unsupported kind; needed is {_WANTED}")


def refuse_secrets(members: Mapping[str, Any]) -> None:
    """Refuse a JWK that says more than the public key.

    Raises:
        ValueError: it has private members, or is symmetric.

    """
    if members.get("kty") == "oct":
        raise ValueError("is symmetric (kty oct); only public keys are accepted")
    if secret := sorted(PRIVATE_MEMBERS & members.keys()):
        raise ValueError(
            f"has private members ({', '.join(secret)}); consider it disclosed, make a new one "
            "and send only its public part"
        )


def import_public(members: Mapping[str, Any]) -> PublicKey:
    """The public key that `members` describe, if `accept` accepts it.

    Raises:
        ValueError: members are missing, malformed, private, or describe an unaccepted key.

    """
    refuse_secrets(members)
    kty = members.get("kty")
    names = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}.get(str(kty))
    if not isinstance(kty, str) or names is None:
        raise ValueError(f"is of an unsupported kind (kty); needed is {_WANTED}")
    plain = {name: members.get(name) for name in names}
    if not all(isinstance(value, str) for value in plain.values()):
        raise ValueError(f"lacks a member, or has one that is no string: {', '.join(names)}")
    if kty == "OKP" and plain["crv"] != "Ed25519":
        raise ValueError(f"is on an unsupported curve (crv); needed is {_WANTED}")
    _require_rsa_size(plain)
    try:
        key = JWKRegistry.import_key({"kty": kty, **plain}).public_key  # type: ignore[dict-item]  # all are str by now
    except (JoseError, ValueError, KeyError, UnsupportedAlgorithm) as error:
        raise ValueError("is not a valid public key of its kind") from error
    _require_full_size(key, plain)
    return accept(key)


def _require_rsa_size(members: Mapping[str, Any]) -> None:
    """Before the key is built: building an oversized one costs, and joserfc warns of small ones."""
    if "n" in members:
        bits = int.from_bytes(_octets(members["n"]), "big").bit_length()
        if bits not in RSA_BITS:
            raise ValueError(f"has {bits} bits; needed is {_WANTED}")


def _octets(text: str) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError:
        raise ValueError("has a member that is not base64url without padding") from None


def _require_full_size(key: object, members: Mapping[str, Any]) -> None:
    """RFC 7518 section 6.2.1.2: a coordinate MUST be as long as the field, zeros included."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return
    size = (key.key_size + 7) // 8
    if any(len(_octets(members[name])) != size for name in ("x", "y")):
        raise ValueError(f"has a coordinate that is not {size} octets long")


def thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638 thumbprint (SHA-256, base64url) of a public JWK made by `public_jwk`."""
    return JWKRegistry.import_key(dict(members)).thumbprint()
