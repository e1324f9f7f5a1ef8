"""Trust sets: pinned, complete, or refused when they are made."""

import base64
import ssl
from typing import Any

import pytest

from app.pki.anchors import MAX_CERTIFICATES, MAX_PEM_BYTES, TrustSet, load_pem_bundle, material
from app.pki.revocation_policy import RevocationPolicy
from tests.kit import ca
from tests.kit.ca import name, root, usage
from tests.kit.world import World

_WORLD = World()
_ROOT, _SUB = _WORLD.root.certificate, _WORLD.issuing.certificate


def pem(*certificates: bytes) -> bytes:
    """PEM blocks."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, certificates)).encode()


def test_a_bundle_is_read_in_order() -> None:
    """Text between blocks, CRLF and repeats are no hindrance."""
    data = b"# roots\r\n" + pem(_ROOT).replace(b"\n", b"\r\n") + b"subject: x\n" + pem(_SUB, _ROOT)
    assert load_pem_bundle(data) == [_ROOT, _SUB]


_BODY = base64.b64encode(_ROOT)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no PEM certificate"),
        (b"certificates go here", "no PEM certificate"),
        (pem(_ROOT)[:-30], "truncated"),
        (pem(_ROOT) + pem(_SUB)[:200], "truncated"),
        (pem(_ROOT).replace(b"-----END", b"----END"), "truncated"),
        (pem(_ROOT).replace(b"A", b"*", 1), "malformed"),
        (pem(_ROOT[:-9]), "block 1 is not a readable"),
        (pem(_ROOT) + pem(b"\x30\x00"), "block 2 is not a readable"),
        (
            b"-----BEGIN CERTIFICATE-----\n" + b"=" + _BODY + b"\n-----END CERTIFICATE-----\n",
            "block 1",
        ),
        (
            b"-----BEGIN PRIVATE KEY-----\n" + _BODY + b"\n-----END PRIVATE KEY-----\n",
            "PRIVATE KEY, not CERTIFICATE",
        ),
        (b" " * (MAX_PEM_BYTES + 1), "more than"),
    ],
)
def test_a_broken_bundle_is_refused_whole(data: bytes, says: str) -> None:
    """Half a bundle never passes for a whole one, and the message says what is wrong."""
    with pytest.raises(ValueError, match=says):
        load_pem_bundle(data)


def test_a_set_from_a_bundle() -> None:
    """Self-issued certificates are anchors, the rest material; a bundle without a root pins all."""
    whole = TrustSet.from_pem("whole", pem(_SUB, _ROOT))
    assert (whole.anchors, whole.intermediates) == ((_ROOT,), (_SUB,))
    sub = TrustSet.from_pem("sub", pem(_SUB))
    assert (sub.anchors, sub.intermediates) == ((_SUB,), ())


def test_sets_are_equal_by_content() -> None:
    """Caches key on it: another name, order or certificate is another set."""
    one, same = TrustSet("a", (_ROOT,), (_SUB,)), TrustSet("a", (_ROOT,), (_SUB,))
    assert (one, hash(one), one.digest) == (same, hash(same), same.digest)
    assert material(one) is material(same)
    others = [
        TrustSet("b", (_ROOT,), (_SUB,)),
        TrustSet("a", (_ROOT,)),
        TrustSet("a", (_ROOT, _SUB)),
        TrustSet("a", (_SUB, _ROOT)),
    ]
    assert len({one, *others}) == 5
    assert len({each.digest for each in (one, *others)}) == 5


def _client() -> bytes:
    return _WORLD.root.sign(_WORLD.draft())


def _v1() -> bytes:
    subject, key = name(("CN", "v1")), ca.key(label="v1")
    draft = ca.ca_draft(subject, key, _WORLD.now).with_(version=None, extensions=())
    return ca.sign(draft, subject, key)


def _weak() -> bytes:
    return root(name(("CN", "weak")), ca.key("RSA-1024", "weak-ca"), _WORLD.now).certificate


def _not_signing() -> bytes:
    return _signing("digital_signature")


def _signing(*usages: str) -> bytes:
    draft = ca.ca_draft(name(("CN", "crl")), ca.key(label="crl-only"), _WORLD.now)
    return _WORLD.root.sign(draft.plus(usage(*usages)))


@pytest.mark.parametrize(
    ("anchors", "says"),
    [
        ((), "no anchor"),
        ((b"",), "not readable"),
        ((_ROOT, _client()), "certificate 2 .*not a CA.*self_signed_tls_client_auth"),
        ((_v1(),), "v1"),
        ((_weak(),), "RSA 1024"),
        ((_not_signing(),), "keyCertSign"),
        ((_ROOT,) * (MAX_CERTIFICATES + 1), "more than"),
    ],
    ids=["none", "empty", "client", "v1", "weak", "not signing", "too many"],
)
def test_what_can_be_no_anchor(anchors: tuple[bytes, ...], says: str) -> None:
    """A trust set that could not vouch for anybody, or for too many, is refused at once."""
    with pytest.raises(ValueError, match=says):
        TrustSet("bad", anchors)
    if anchors:
        with pytest.raises(ValueError, match=says):
            TrustSet("bad", (_ROOT,), anchors)


def test_a_signer_of_crls_may_stand_beside_the_anchors() -> None:
    """It is no anchor and no path material, but the set knows it as a signer of CRLs."""
    signer = _signing("crl_sign")
    with pytest.raises(ValueError, match="keyCertSign"):
        TrustSet("bad", (signer,))
    known = material(TrustSet("crls", (_ROOT,), (signer,)))
    assert known.intermediates == ()
    assert [each.facts.subject for each in known.crl_signers] == ["CN=crl"]
    assert len(known.signers_of_crls()) == 2


def test_a_bundle_with_a_signer_of_crls_makes_no_anchor_of_it() -> None:
    """A CA may certify a key of its own for CRLs alone: the same name twice, and still no root."""
    draft = ca.ca_draft(_WORLD.root.subject, ca.key(label="crl-only"), _WORLD.now)
    signer = _WORLD.root.sign(draft.plus(usage("crl_sign")))
    trust_set = TrustSet.from_pem("crls", pem(_ROOT, signer))
    assert (trust_set.anchors, trust_set.intermediates) == ((_ROOT,), (signer,))


def test_the_revocation_policy_is_part_of_the_set() -> None:
    """Sets that differ in it only are two sets: no verdict of one serves the other."""
    strict = TrustSet("one", (_ROOT,), revocation=RevocationPolicy("crl"))
    assert strict != TrustSet("one", (_ROOT,))
    assert strict.digest != TrustSet("one", (_ROOT,)).digest


@pytest.mark.parametrize(
    "policy",
    [
        {"mode": "delta"},
        {"fail": "never"},
        {"max_staleness": -1},
        {"mode": "ocsp"},
        {"mode": "ocsp", "urls": ("http://a", "http://b")},
        {"urls": ("http://a",) * 17},
    ],
)
def test_a_policy_without_meaning_is_refused(policy: dict[str, Any]) -> None:
    """A mode nobody knows must not end up as no check at all."""
    with pytest.raises(ValueError, match=r"revocation|staleness|URL"):
        RevocationPolicy(**policy)
