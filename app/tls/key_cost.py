"""Which keys in a client's certificates OpenSSL may use at all: what a handshake may cost.

Guarantees that no RSA key is used with which checking one signature takes milliseconds. OpenSSL
itself takes exponents as long as the modulus up to 3072 bits (5 ms for a signature, otherwise
0.05 ms), and moduli up to 16384 bits. Does not judge whether a key is good enough.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from OpenSSL import crypto

# obj_mac.h: rsaEncryption and rsassaPss; pyOpenSSL has a name only for the first.
_RSA = frozenset((6, 912))
# The largest that `app.pki` accepts; larger ones would be refused in HTTP anyway.
_MODULUS_BITS = 8192
_EXPONENT_BITS = 33


def is_affordable(certificate: crypto.X509) -> bool:
    """Whether OpenSSL may check signatures with this key.

    False also where the exponent of an RSA key cannot be read. Costs 0.5 µs, 10 µs for RSA.
    """
    try:
        key = certificate.get_pubkey()
    except crypto.Error:
        return True  # OpenSSL cannot read it either, so it cannot use it
    if key.type() not in _RSA:
        return True
    if key.bits() > _MODULUS_BITS:
        return False
    try:
        public = certificate.to_cryptography().public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return False
    return (
        isinstance(public, RSAPublicKey)
        and public.public_numbers().e.bit_length() <= _EXPONENT_BITS
    )
