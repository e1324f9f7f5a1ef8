"""SPIFFE bundle documents: what becomes an anchor, what is ignored, and what refuses the whole."""

import base64
import json
from typing import Any

import pytest

from app.pki.bundle import MAX_BUNDLE, MAX_ENTRIES, Bundle, parse_bundle
from tests.kit import ca
from tests.kit.ca import name
from tests.kit.world import World


@pytest.fixture(scope="module")
def world() -> World:
    """Certificates to publish."""
    return World()


def entry(*certificates: bytes, **changes: Any) -> dict[str, Any]:
    """One ``x509-svid`` entry; a change to None leaves the member out."""
    x5c = [base64.b64encode(each).decode() for each in certificates]
    members = {"kty": "EC", "use": "x509-svid", "crv": "P-256", "x": "", "y": "", "x5c": x5c}
    return {k: v for k, v in (members | changes).items() if v is not None}


def document(*entries: Any, **members: Any) -> bytes:
    """A bundle document."""
    return json.dumps({"keys": entries, **members}).encode()


def test_anchors_sequence_and_hint_are_read(world: World) -> None:
    """Each certificate becomes an anchor once; sequence and hint come along."""
    root, other = world.root.certificate, world.rsa_root.certificate
    data = document(
        entry(root),
        entry(other, kty="RSA"),
        entry(root),
        spiffe_sequence=2**64 + 1,
        spiffe_refresh_hint=300,
    )
    assert parse_bundle(data) == Bundle((root, other), 2**64 + 1, 300)


def test_sequence_and_hint_may_be_absent(world: World) -> None:
    """Both members are SHOULD only."""
    assert parse_bundle(document(entry(world.root.certificate))) == Bundle(
        (world.root.certificate,), None, None
    )


def test_a_huge_hint_is_no_error(world: World) -> None:
    """A hint beyond any clock is cut, not refused: it is only a hint."""
    found = parse_bundle(document(entry(world.root.certificate), spiffe_refresh_hint=10**19))
    assert found.refresh_hint == 2**31 - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "jwt-svid", "kid": "1", "x5c": None},
        {"use": "jwt-svid", "kid": "1"},
        {"use": "wit-svid"},
        {"use": "X509-SVID"},
        {"use": ["x509-svid"]},
        {"use": None},
        {"kty": "AKP"},
        {"kty": None},
        {"kty": ["EC"]},
        {"x5c": None},
        {"x5c": []},
    ],
)
def test_what_is_not_ours_is_ignored(world: World, changes: dict[str, Any]) -> None:
    """Unknown kty and use, jwt-svid keys and entries without a certificate do not count."""
    stranger = entry(world.evil.certificate, **changes)
    found = parse_bundle(document(stranger, entry(world.root.certificate)))
    assert found.anchors == (world.root.certificate,)
    with pytest.raises(ValueError, match="no certificate for use x509-svid"):
        parse_bundle(document(stranger))


def test_only_the_first_certificate_of_an_entry_counts(world: World) -> None:
    """X509-SVID section 6.2: all but the first value of x5c are ignored."""
    found = parse_bundle(document(entry(world.root.certificate, world.evil.certificate)))
    assert found.anchors == (world.root.certificate,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x5c": "MIIB"}, "array of strings"),
        ({"x5c": [1]}, "array of strings"),
        ({"x5c": {"0": "MIIB"}}, "array of strings"),
        ({"x5c": [""]}, "standard base64"),
        ({"x5c": ["MII_"]}, "standard base64"),
        ({"x5c": ["MIIB\nMIIB"]}, "standard base64"),
        ({"x5c": ["-----BEGIN CERTIFICATE-----"]}, "standard base64"),
        ({"x5c": ["MIIB"]}, "certificate 2 is not readable"),
    ],
)
def test_a_broken_certificate_refuses_the_bundle(
    world: World, changes: dict[str, Any], message: str
) -> None:
    """Half a bundle never passes for a whole one."""
    with pytest.raises(ValueError, match=message):
        parse_bundle(document(entry(world.root.certificate), entry(**changes)))


def test_only_certificate_authorities_are_anchors(world: World) -> None:
    """A leaf, a CA with a weak key and one that may not sign refuse the bundle."""
    weak = ca.root(name(("CN", "weak")), ca.key("RSA-1024", "weak"), world.now).certificate
    mute_key = ca.key(label="mute")
    draft = ca.ca_draft(name(("CN", "mute")), mute_key, world.now).plus(ca.usage("crl_sign"))
    mute = ca.sign(draft, draft.subject, mute_key)
    for unfit, message in (
        (world.root.sign(world.draft()), "not a CA certificate"),
        (weak, "not accepted"),
        (mute, "keyCertSign"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_bundle(document(entry(world.root.certificate), entry(unfit)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "UTF-8"),
        (b"{}", 'no array "keys"'),
        (b'{"keys":{}}', 'no array "keys"'),
        (b'{"keys":null}', 'no array "keys"'),
        (b'{"keys":[]}', "no certificate"),
        (b'{"keys":[1]}', "not a JSON object"),
        (b'{"keys":[],"keys":[]}', "twice"),
        (b'{"keys":[],"spiffe_sequence":NaN}', "NaN"),
        (b'{"keys":' + b"[" * 600 + b"]" * 600 + b"}", "nested"),
        (b" " * (MAX_BUNDLE + 1), "larger than"),
        (document(*[{}] * (MAX_ENTRIES + 1)), "at most 200"),
    ],
)
def test_malformed_documents_are_refused(data: bytes, message: str) -> None:
    """Whatever is no bundle raises ValueError and says why."""
    with pytest.raises(ValueError, match=message):
        parse_bundle(data)


@pytest.mark.parametrize("member", ["spiffe_sequence", "spiffe_refresh_hint"])
@pytest.mark.parametrize("value", [-1, 1.0, True, "1", None, [1]])
def test_sequence_and_hint_are_integers(world: World, member: str, value: Any) -> None:
    """A value of another type is a mistake of the publisher, not a missing value."""
    with pytest.raises(ValueError, match=member):
        parse_bundle(document(entry(world.root.certificate), **{member: value}))


def test_a_sequence_beyond_twenty_digits_is_refused(world: World) -> None:
    """Wider than 64 bits is fine, without end is not."""
    with pytest.raises(ValueError, match="too large"):
        parse_bundle(document(entry(world.root.certificate), spiffe_sequence=10**20))
