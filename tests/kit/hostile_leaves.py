"""Hostile leaves under the trusted root: wrong purpose, ill-formed, weak, or in odd company."""

import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.errors import Reason
from app.pki import der
from tests.kit import ca
from tests.kit.ca import basic, client_draft, eku, name, san, usage
from tests.kit.world import Hostile, World

SAN = "2.5.29.17"


def cases(world: World) -> Iterator[Hostile]:
    """All of them."""
    yield from _purposes(world)
    yield from _ill_formed(world)
    yield from _ill_encoded(world)
    yield from _weak(world)
    yield from _company(world)


def _case(
    name: str,
    leaf: bytes,
    *rest: bytes,
    reason: Reason,
    key: Any = None,
    wire: bool = True,
) -> Hostile:
    private_key = key or ca.key(label="attacker")
    return Hostile(name, "dn", (leaf, *rest), private_key, reason, wire=wire)


def _purposes(world: World) -> Iterator[Hostile]:
    draft, sign = world.draft(), world.root.sign
    missing, wrong = Reason.EKU_MISSING_CLIENT_AUTH, Reason.KEY_USAGE
    yield _case("server_auth_only", sign(draft.plus(eku(ca.SERVER))), reason=missing)
    yield _case("no_eku", sign(draft.without("2.5.29.37")), reason=missing)
    yield _case("any_eku_only", sign(draft.plus(eku(ca.ANY_PURPOSE))), reason=missing)
    yield _case("ca_as_leaf", world.issuing.certificate, reason=missing, key=world.issuing.key)
    yield _case("ca_flag", sign(draft.plus(basic(ca=True))), reason=wrong)
    authority = draft.plus(basic(ca=True), usage("digital_signature", "key_cert_sign"))
    yield _case("ca_for_clients", sign(authority), reason=wrong)
    signing = draft.plus(usage("digital_signature", "key_cert_sign"))
    yield _case("key_cert_sign", sign(signing), reason=wrong)
    yield _case("no_digital_signature", sign(draft.plus(usage("key_encipherment"))), reason=wrong)


def _ill_formed(world: World) -> Iterator[Hostile]:
    """DER that an X.509 certificate may not be."""
    draft, sign, bad = world.draft(), world.root.sign, Reason.CERTIFICATE_MALFORMED
    yield _case("v1", sign(draft.with_(version=None, extensions=())), reason=bad)
    yield _case("v1_with_extensions", sign(draft.with_(version=None)), reason=bad)
    yield _case("v2", sign(draft.with_(version=1)), reason=bad)
    yield _case("v5", sign(draft.with_(version=4)), reason=bad)
    yield _case("negative_serial", sign(draft.with_(serial=b"\xff")), reason=bad)
    yield _case("zero_serial", sign(draft.with_(serial=b"\0")), reason=bad)
    yield _case("serial_of_21_octets", sign(draft.with_(serial=b"\x01" * 21)), reason=bad)
    padded = sign(draft.with_(serial=b"\0\x01"))
    yield _case("serial_padded", padded, reason=bad, wire=False)  # nor does OpenSSL read it
    doubled = draft.with_(extensions=(*draft.extensions, eku(ca.SERVER)))
    yield _case("duplicate_extension", sign(doubled), reason=bad)
    yield _case("empty_eku", sign(draft.plus(eku())), reason=bad)
    critical = ca.Extension("1.3.6.1.4.1.99999.1", b"\x05\x00", critical=True)
    yield _case(
        "unknown_critical_extension", sign(draft.plus(critical)), reason=Reason.CHAIN_INVALID
    )
    for label, value in (
        ("san_garbage", b"\xde\xad\xbe\xef"),
        ("san_trailing_bytes", san(dns=["bot.example"]).value + b"\0"),
        ("san_unknown_name_type", b"\x30\x02\x89\x00"),
    ):
        yield _case(label, sign(draft.plus(ca.Extension(SAN, value))), reason=bad)
    yield _case("san_ip_of_5_octets", sign(draft.plus(san(ip=[b"\x0a\0\0\1\0"]))), reason=bad)
    network = san(ip=[b"\x0a\0\0\0\xff\0\0\0"])
    yield _case("san_ip_network", sign(draft.plus(network)), reason=bad)
    yield _case("san_dns_not_ascii", sign(draft.plus(san(dns=["bót.example"]))), reason=bad)
    inner = ca.algorithm_identifier(world.root.key, "sha256")
    outer = ca.algorithm_identifier(world.root.key, "sha384")
    tbs = draft.tbs(world.root.subject, inner)
    mixed = ca.assemble(tbs, outer, ca.signature(world.root.key, tbs, "sha384"))
    yield _case("signature_algorithms_differ", mixed, reason=Reason.CHAIN_INVALID)
    undated = sign(draft).replace(b"Z\x17\x0d", b"X\x17\x0d", 1)
    yield _case("date_without_zone", undated, reason=bad)


def _ill_encoded(world: World) -> Iterator[Hostile]:
    """Octets around or instead of a good certificate."""
    honest, bad = world.root.sign(world.draft()), Reason.CERTIFICATE_MALFORMED
    body = der.single(honest).content
    for label, encoded in (
        ("trailing_bytes", honest + b"\0"),
        ("second_certificate_appended", honest + honest),
        ("truncated", honest[:-7]),
        ("empty", b""),
        ("garbage", hashlib.sha512(b"garbage").digest()),
        ("ber_indefinite_length", b"\x30\x80" + body + b"\0\0"),
        ("ber_padded_length", b"\x30\x83\x00" + len(body).to_bytes(2, "big") + body),
        ("pem_instead_of_der", b"-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n"),
        ("nested_a_thousand_times", b"\x30\x80" * 1000),
        ("oversized", der.encode(der.SEQUENCE, body + der.encode(0x04, bytes(40_000)))),
    ):
        yield _case(label, encoded, reason=bad, wire=False)


def _weak(world: World) -> Iterator[Hostile]:
    now, weak = world.now, Reason.WEAK_KEY
    for kind in ("RSA-1024", "P-224", "secp256k1", "Ed448", "DSA-2048"):
        key = ca.key(kind, "attacker")
        leaf = world.root.sign(client_draft(world.bot, key, now))
        sendable = kind in {"RSA-1024", "Ed448"}  # the others cannot sign a handshake with us
        yield _case(f"leaf_{kind.lower()}", leaf, reason=weak, key=key, wire=sendable)
    modulus = int.from_bytes(hashlib.shake_256(b"modulus").digest(2048), "big") | 1 << 16383 | 1
    for label, exponent, size in (("huge_rsa", 65537, 16384), ("tiny_exponent", 1, 2048)):
        public = _rsa_spki(modulus >> (16384 - size) | 1, exponent)
        reason = weak if exponent > 1 else Reason.CERTIFICATE_MALFORMED
        leaf = world.root.sign(client_draft(world.bot, public, now))
        yield _case(f"leaf_{label}", leaf, reason=reason, wire=False)
    unknown = der.encode(
        der.SEQUENCE,
        der.encode(der.SEQUENCE, der.encode(der.OID, der.oid_content("1.3.6.1.4.1.99999.2")))
        + der.encode(der.BIT_STRING, b"\0\1"),
    )
    leaf = world.root.sign(client_draft(world.bot, unknown, now))
    yield _case("leaf_unknown_key_type", leaf, reason=weak, wire=False)
    draft = world.draft()
    for digest in ("sha1", "sha224"):
        leaf = world.root.sign(draft, digest)
        yield _case(f"leaf_{digest}", leaf, reason=Reason.WEAK_SIGNATURE)
    for digest in ("md5", "sha1"):
        leaf = world.rsa_root.sign(draft, digest)
        yield _case(f"leaf_rsa_{digest}", leaf, reason=Reason.WEAK_SIGNATURE)


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    """By hand where the library refuses such a key."""
    if exponent > 1:
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    numbers = b"".join(
        der.encode(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
        for value in (modulus, exponent)
    )
    algorithm = der.encode(der.OID, der.oid_content("1.2.840.113549.1.1.1")) + b"\x05\x00"
    content = b"\0" + der.encode(der.SEQUENCE, numbers)
    return der.encode(
        der.SEQUENCE, der.encode(der.SEQUENCE, algorithm) + der.encode(der.BIT_STRING, content)
    )


def _company(world: World) -> Iterator[Hostile]:
    """Someone's own good certificate, with the victim's beside it (CVE-2023-2422)."""
    victim = world.clients["dn"].good
    assert victim is not None
    mismatch, mallory = Reason.DN_MISMATCH, name(("C", "US"), ("O", "Kit"), ("CN", "mallory"))
    own = world.root.sign(world.draft(subject=mallory))
    yield _case("another_clients_certificate", own, reason=mismatch)
    yield _case("victim_appended", own, victim.chain[0], reason=mismatch)
    yield _case("victim_between", own, victim.chain[0], world.root.certificate, reason=mismatch)
    yield _case("leaf_repeated_then_victim", own, own, victim.chain[0], reason=mismatch)
    through = world.issuing.sign(world.draft(subject=mallory))
    yield _case(
        "victim_before_the_intermediate",
        through,
        victim.chain[0],
        world.issuing.certificate,
        reason=mismatch,
    )
    malformed = Reason.CERTIFICATE_MALFORMED
    good = world.root.sign(world.draft())
    crowd = [world.issuing.certificate] * 10
    yield _case("eleven_certificates", good, *crowd, reason=malformed, wire=False)
    yield _case("garbage_beside", good, b"\x30\x03\x02\x01\x05", reason=malformed, wire=False)
    bulky = world.evil.sign(world.draft(san(uri=["urn:x:" + "x" * 11_000])))
    yield _case("more_than_32_kib", good, bulky, bulky, bulky, reason=malformed, wire=False)
