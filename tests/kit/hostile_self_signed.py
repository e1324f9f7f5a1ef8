"""Hostile certificates at clients that registered a certificate or a key, and between methods."""

from collections.abc import Iterator
from typing import Any

from app.errors import Reason
from tests.kit import ca
from tests.kit.ca import Authority, client_draft, name
from tests.kit.world import Hostile, World

_UNKNOWN = Reason.THUMBPRINT_UNREGISTERED


def cases(world: World) -> Iterator[Hostile]:
    """All of them."""
    yield from _certificates(world)
    yield from _states(world)
    yield from _keys(world)
    yield from _issuers(world)


def _case(
    label: str,
    client: str,
    *chain: bytes,
    key: Any,
    reason: Reason = _UNKNOWN,
    wire: bool = True,
) -> Hostile:
    return Hostile(
        label, client, chain, key, reason, method="self_signed_tls_client_auth", wire=wire
    )


def _good(world: World, client_id: str) -> tuple[bytes, Any]:
    good = world.clients[client_id].good
    assert good is not None
    return good.chain[0], good.key


def _certificates(world: World) -> Iterator[Hostile]:
    """Everything about a registered certificate can be copied except itself (CVE-2024-2048)."""
    attacker, now = ca.key(label="attacker"), world.now
    registered, own_key = _good(world, "self")
    subject = name(("CN", "self"))
    draft = client_draft(subject, attacker, now)
    yield _case("self_unregistered", "self", ca.sign(draft, subject, attacker), key=attacker)
    serial = client_draft(subject, own_key, now).serial
    copied = draft.with_(serial=serial).plus(ca.identifiers(ca.spki(own_key), None)[0])
    yield _case(
        "self_same_subject_serial_and_key_id",
        "self",
        ca.sign(copied, subject, attacker),
        key=attacker,
    )
    renewed = client_draft(subject, own_key, now).with_(serial=b"\x05")
    yield _case(
        "self_same_key_new_certificate", "self", ca.sign(renewed, subject, own_key), key=own_key
    )
    flipped = registered[:-1] + bytes([registered[-1] ^ 1])
    yield _case("self_signature_altered", "self", flipped, key=own_key)
    yield _case(
        "self_victim_appended", "self", ca.sign(draft, subject, attacker), registered, key=attacker
    )
    other, other_key = _good(world, "self-ca")
    yield _case("self_of_another_client", "self", other, key=other_key)
    issued = world.root.sign(draft)
    yield _case("pki_certificate_at_self_signed_client", "self", issued, key=attacker)
    yield _case(
        "self_v1",
        "self",
        ca.sign(draft.with_(version=None, extensions=()), subject, attacker),
        key=attacker,
        reason=Reason.CERTIFICATE_MALFORMED,
    )
    yield _case(
        "self_trailing_bytes",
        "self",
        registered + b"\0",
        key=own_key,
        reason=Reason.CERTIFICATE_MALFORMED,
        wire=False,
    )


def _states(world: World) -> Iterator[Hostile]:
    """Registered, but not good for anything at the moment."""
    for client, key, reason in (
        ("self-retired", ca.key(label="self-retired"), Reason.CERTIFICATE_RETIRED),
        ("self-future", ca.key(label="self-future"), Reason.CERTIFICATE_NOT_ACTIVE),
        ("self-expired", ca.key(label="self-expired"), Reason.EXPIRED),
        ("self-weak", ca.key("RSA-1024", "self-weak"), Reason.WEAK_KEY),
        ("self-sha1", ca.key(label="self-sha1"), Reason.WEAK_SIGNATURE),
    ):
        label = client.replace("self-", "registered_")
        certificate = world.clients[client].registered[0]
        yield _case(label, client, certificate, key=key, reason=reason)


def _keys(world: World) -> Iterator[Hostile]:
    """Client `self-key` registered a key: only that key may vouch for its certificates."""
    own, attacker, now = ca.key(label="self-key"), ca.key(label="attacker"), world.now
    subject = name(("CN", "self-key"))
    draft = client_draft(subject, own, now)
    yield _case("key_certified_by_a_ca", "self-key", world.root.sign(draft), key=own)
    yield _case(
        "key_certified_by_another_key_of_that_name",
        "self-key",
        ca.sign(draft, subject, attacker),
        key=own,
    )
    yield _case(
        "key_under_another_issuer_name",
        "self-key",
        ca.sign(draft.with_(issuer=name(("CN", "other"))), subject, own),
        key=own,
    )
    other = client_draft(subject, attacker, now)
    yield _case("key_of_someone_else", "self-key", ca.sign(other, subject, attacker), key=attacker)
    child = ca.sign(other.with_(issuer=subject), subject, own)
    yield _case("key_signed_another_key", "self-key", child, key=attacker)
    expired = draft.with_(not_before=now - 7200, not_after=now - 60)
    yield _case(
        "key_in_an_expired_certificate",
        "self-key",
        ca.sign(expired, subject, own),
        key=own,
        reason=Reason.EXPIRED,
    )
    yield _case(
        "key_in_a_sha1_certificate",
        "self-key",
        ca.sign(draft, subject, own, "sha1"),
        key=own,
        reason=Reason.WEAK_SIGNATURE,
    )


def _issuers(world: World) -> Iterator[Hostile]:
    """A registered CA:TRUE certificate must never issue (the reason it is in no trust store)."""
    certificate, key = _good(world, "self-ca")
    attacker = ca.key(label="attacker")
    registered = Authority(name(("CN", "self-ca")), key, certificate)
    child = registered.sign(client_draft(name(("CN", "self-ca")), attacker, world.now))
    yield _case("child_of_registered_ca", "self-ca", child, certificate, key=attacker)
    at_other = registered.sign(client_draft(name(("CN", "self")), attacker, world.now))
    yield _case("child_of_registered_ca_at_another", "self", at_other, certificate, key=attacker)
    forged = registered.sign(world.draft())
    yield Hostile(
        "child_of_registered_ca_at_pki_client",
        "dn",
        (forged, certificate),
        attacker,
        Reason.ISSUER_UNKNOWN,
    )
    old_key, old_name = ca.key(label="old"), name(("CN", "old"))
    v1 = ca.sign(
        client_draft(old_name, old_key, world.now).with_(version=None, extensions=()),
        old_name,
        old_key,
    )
    leaf = Authority(old_name, old_key, v1).sign(world.draft())
    yield Hostile(
        "child_of_v1_certificate", "dn", (leaf, v1), attacker, Reason.CERTIFICATE_MALFORMED
    )
    own, own_key = _good(world, "self")
    yield Hostile(
        "registered_certificate_at_pki_client", "dn", (own,), own_key, Reason.ISSUER_UNKNOWN
    )
