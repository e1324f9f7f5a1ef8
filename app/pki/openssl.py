"""OpenSSL's path validator behind one function: a certificate, material, anchors and a moment.

Guarantees that nothing it found wrong stays behind in the thread's OpenSSL error queue, where the
next TLS connection on the same thread would take it for its own failure.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from OpenSSL import crypto
from OpenSSL._util import lib as _lib

STRICT = crypto.X509StoreFlags.X509_STRICT
# PARTIAL_CHAIN: an anchor need not be self-signed. POLICY_CHECK: the whole of RFC 5280 section 6.1.
_ALWAYS = crypto.X509StoreFlags.PARTIAL_CHAIN | crypto.X509StoreFlags.POLICY_CHECK


def load(certificate: x509.Certificate) -> crypto.X509:
    """The certificate for OpenSSL. Raises ValueError where OpenSSL cannot read it."""
    try:
        return crypto.X509.from_cryptography(certificate)
    except crypto.Error as problem:
        raise ValueError("OpenSSL cannot read the certificate") from problem
    finally:
        _lib.ERR_clear_error()


def verify(
    leaf: crypto.X509,
    material: Sequence[crypto.X509],
    anchors: Sequence[crypto.X509],
    now: int,
    flags: int,
) -> list[bytes]:
    """DER of the path from `leaf` to an anchor, for TLS clients, at `now`.

    Raises crypto.X509StoreContextError. A store per question, for it holds the moment.
    """
    store = crypto.X509Store()
    store.set_time(datetime.fromtimestamp(now, UTC))
    store.set_flags(_ALWAYS | flags)
    # pyOpenSSL wraps no call for the purpose, without which OpenSSL would ignore the CAs' EKU.
    pointer = store._store  # noqa: SLF001 - see above
    if _lib.X509_STORE_set_purpose(pointer, _lib.X509_PURPOSE_SSL_CLIENT) != 1:
        raise RuntimeError("OpenSSL refused the purpose of TLS clients")
    for anchor in anchors:
        store.add_cert(anchor)
    try:
        chain = crypto.X509StoreContext(store, leaf, material).get_verified_chain()
    finally:
        _lib.ERR_clear_error()
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in chain]
