"""The one TLS policy of every listener: which protocol, suites, groups and options are spoken.

Guarantees TLS 1.2 and 1.3 only, AEAD suites with ephemeral keys only, no renegotiation, no early
data, no compression, no session that could be resumed, and a certificate request that names no
CA (clients withhold a certificate whose issuer is not on such a list). Any certificate whose key
signs the handshake gets through, but for keys that cost too much (`app.tls.key_cost`): whether it
is *trusted* is decided later, where the refusal can be explained in HTTP (`app.pki.check`). RFC 8446, RFC 5246, RFC 9325.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL._util import lib as _lib
from OpenSSL.crypto import X509

from app.tls.key_cost import is_affordable

TLS13_SUITES = {
    # AES-128 first: SHA-256 has instructions of its own, SHA-384 costs 5 % of a handshake.
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
}
TLS12_SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
}
SUITE_NUMBERS = TLS13_SUITES | TLS12_SUITES
"""OpenSSL's suite name to the IANA number that the ASGI ``tls`` extension wants."""

# The hybrid first: what is recorded today stays closed to a quantum computer. It costs 0.04 ms on
# top of 0.20 ms of handshake, for clients that offer it. P-521 is there for clients whose
# certificate key lies on it: in TLS 1.2 that needs the group.
GROUPS = b"X25519MLKEM768:X25519:P-256:P-384:P-521"

# The client's proof of possession: no SHA-1, no SHA-224. Ed448 stands here so that a client with
# such a key gets an answer in HTTP.
SIGNATURES = (
    b"ECDSA+SHA256:ed25519:ECDSA+SHA384:ECDSA+SHA512:ed448"
    b":rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512"
    b":rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512"
    b":RSA+SHA256:RSA+SHA384:RSA+SHA512"
)

# ssl.h, OpenSSL 3.2 and later; pyOpenSSL has no names for them. Compressed certificates (RFC 8879)
# would put a decompressor in front of the size caps.
_OP_NO_TX_CERTIFICATE_COMPRESSION = 1 << 32
_OP_NO_RX_CERTIFICATE_COMPRESSION = 1 << 33

_OPTIONS = (
    SSL.OP_NO_TICKET
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
    | _OP_NO_TX_CERTIFICATE_COMPRESSION
    | _OP_NO_RX_CERTIFICATE_COMPRESSION
)

_MAX_FILE_BYTES = 256 * 1024

Verify = Callable[[SSL.Connection, X509, int, int, int], bool]


class CertificateFileError(ValueError):
    """The server's certificate or key file cannot be used; the message names the file and why."""


_BEFORE_USE = frozenset(
    (SSL.X509VerificationCodes.OK, SSL.X509VerificationCodes.ERR_CERT_CHAIN_TOO_LONG)
)


def let_through(
    _connection: SSL.Connection, certificate: X509, error: int, _depth: int, _ok: int
) -> bool:
    """OpenSSL's verify callback: trust is not decided in the handshake, only what it may cost.

    OpenSSL calls it several times. Before it uses the key of the leaf (for the handshake's
    signature) it says that all is well; before that of an issuer (for the leaf's signature), that
    the chain is too long, since the allowed depth is 0.
    """
    return error not in _BEFORE_USE or is_affordable(certificate)


def build(certificate_file: Path, key_file: Path, *, verify: Verify = let_through) -> SSL.Context:
    """The TLS context of both listeners, with the server's own certificate chain and key.

    `verify` is a parameter only so that a test can show that an exception in it ends the handshake.

    Raises:
        CertificateFileError: a file is missing, unreadable, not PEM, or the two do not match.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(":".join(TLS13_SUITES).encode())
    context.set_cipher_list(":".join(TLS12_SUITES).encode())
    context.set_options(_OPTIONS)
    # 32 KiB less for each connection that waits for its next request.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    _refuse_resumption(context)
    _set_lists(context)
    # Asked for, never required: without VERIFY_FAIL_IF_NO_PEER_CERT.
    context.set_verify(SSL.VERIFY_PEER, verify)
    # OpenSSL walks the presented chain before it asks the callback. What it finds does not
    # matter here, so it may not walk far.
    context.set_verify_depth(0)
    _load(context, certificate_file, key_file)
    return context


def end_of_certificate(context: SSL.Context) -> int:
    """When the server's own certificate in a built context ends, seconds since the epoch."""
    own = SSL.Connection(context, None).get_certificate(as_cryptography=True)
    if own is None:
        raise RuntimeError("a context without a certificate")
    return int(own.not_valid_after_utc.timestamp())


def _refuse_resumption(context: SSL.Context) -> None:
    """No cache, no stateless tickets (`OP_NO_TICKET`), no early data.

    A resumed session would skip the proof of possession and bring no intermediates. OpenSSL still
    sends two TLS 1.3 tickets (pyOpenSSL cannot set their number), but with the cache off they
    refer to nothing.
    """
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # Without an id context OpenSSL breaks off a handshake in which the client offers a session.
    context.set_session_id(b"certbound")
    _lib.SSL_CTX_set_max_early_data(_raw(context), 0)


def _set_lists(context: SSL.Context) -> None:
    """Groups and signature algorithms; pyOpenSSL has no methods for them."""
    for set_list, value in (
        (_lib.SSL_CTX_set1_curves_list, GROUPS),
        (_lib.SSL_CTX_set1_sigalgs_list, SIGNATURES),
    ):
        if set_list(_raw(context), value) != 1:
            _lib.ERR_clear_error()
            raise RuntimeError(f"this OpenSSL does not know all of {value.decode()}")


def _raw(context: SSL.Context) -> Any:
    return context._context  # noqa: SLF001 - pyOpenSSL offers no other way to these settings


def _load(context: SSL.Context, certificate_file: Path, key_file: Path) -> None:
    """Certificate chain and key, with an error that names the file."""
    _read(certificate_file)
    try:
        context.use_certificate_chain_file(str(certificate_file))
    except SSL.Error as error:
        raise CertificateFileError(f"{certificate_file}: no usable PEM certificate") from error
    pem = _read(key_file)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:  # what cryptography raises where a passphrase is missing
        raise CertificateFileError(f"{key_file}: the private key is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFileError(f"{key_file}: no usable PEM private key") from error
    try:
        context.use_privatekey(cast("Any", key))
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        raise CertificateFileError(f"{key_file}: not the key of {certificate_file}") from error


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateFileError(f"{file}: {error.strerror}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise CertificateFileError(f"{file}: larger than {_MAX_FILE_BYTES} bytes")
    return content
