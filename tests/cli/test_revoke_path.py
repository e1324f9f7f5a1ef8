"""What a denial reaches beyond the bytes it was given: rewritten signatures, and CAs of the path."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from app import clock
from app.tls.peer import PeerCertificate
from tests.kit import ca
from tests.kit.asgi import Stage
from tests.kit.ca import Authority, client_draft, name
from tests.kit.command import call, done, refused
from tests.kit.placing import pem

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186
KINDS = ((), ("--key",), ("--issuer-serial",))


def _flipped(encoded: bytes) -> bytes:
    """The same certificate with the other of the two signatures (r, s) and (r, n - s)."""
    certificate = x509.load_der_x509_certificate(encoded)
    r, s = decode_dss_signature(certificate.signature)
    algorithm = ca.algorithm_identifier(ca.key(label="any of P-256"))
    return ca.assemble(
        certificate.tbs_certificate_bytes, algorithm, encode_dss_signature(r, _ORDER - s)
    )


def _peer(*chain: bytes) -> PeerCertificate:
    return PeerCertificate(chain[0], chain[1:], "TLSv1.3", "TLS_AES_128_GCM_SHA256")


def _file(home: Path, encoded: bytes) -> str:
    return str(pem(home / "certs" / "named.crt", encoded))


def _outcome(stage: Stage, peer: PeerCertificate, client_id: str = "a") -> Any:
    answer = stage.token(peer, client_id=client_id)
    return 200 if answer.status == 200 else stage.explained(answer.json()["error_ref"])["reason"]


@pytest.fixture
def root(home: Path) -> Authority:
    """A CA that vouches for client a, known by its subject."""
    made = ca.root(name(("CN", "R")), ca.key(label="denied root"), clock.now())
    done(home, "trust", "add", "kit", _file(home, made.certificate))
    done(home, "client", "add", "a", "--subject-dn", "CN=a", "--trust", "kit")
    return made


def _leaf(issuer: Authority) -> bytes:
    return issuer.sign(client_draft(name(("CN", "a")), ca.key(label="denied leaf"), clock.now()))


@pytest.mark.parametrize("by", ["file", "seen thumbprint"])
def test_a_rewritten_signature_is_no_way_round(
    home: Path, stage: Stage, root: Authority, by: str
) -> None:
    """Denied by thumbprint, its twin with the other signature is denied; undo lets both in."""
    leaf = _leaf(root)
    twin = _flipped(leaf)
    assert twin != leaf
    assert _outcome(stage, _peer(leaf)) == 200
    thumbprint = _peer(leaf).thumbprint
    denied = done(home, "revoke", "cert", _file(home, leaf) if by == "file" else thumbprint)
    assert denied["content"] is True
    assert [_outcome(stage, _peer(each)) for each in (leaf, twin)] == ["revoked", "revoked"]
    assert len(done(home, "revoke", "undo", thumbprint)["undone"]) == 1
    assert [_outcome(stage, _peer(each)) for each in (leaf, twin)] == [200, 200]


def test_an_entry_of_its_own_outlives_the_thumbprint(
    home: Path, stage: Stage, root: Authority
) -> None:
    """Issuer and serial that were denied for themselves stay denied when a thumbprint goes."""
    leaf = _leaf(root)
    named = _file(home, leaf)
    done(home, "revoke", "cert", named)
    assert done(home, "revoke", "cert", named, "--issuer-serial")["changed"] is True
    assert len(done(home, "revoke", "undo", _peer(leaf).thumbprint)["undone"]) == 1
    assert _outcome(stage, _peer(leaf)) == "revoked"
    done(home, "revoke", "undo", named)
    assert _outcome(stage, _peer(leaf)) == 200


@pytest.mark.parametrize("named", ["its file", "the entry"])
def test_undo_leaves_what_its_twin_was_denied_for(
    home: Path, stage: Stage, root: Authority, named: str
) -> None:
    """Both denied by thumbprint: taking one entry back lets neither in, and says why."""
    leaf = _leaf(root)
    twin = _flipped(leaf)
    done(home, "revoke", "cert", _file(home, leaf))
    kept = done(home, "revoke", "cert", _file(home, twin))
    assert kept["changed"] is True
    text = _file(home, leaf) if named == "its file" else _peer(leaf).thumbprint
    outcome = call(home, "revoke", "undo", text)
    assert f"its twin, the same under another signature, is still revoked: {kept['value']}" in (
        outcome.out
    )
    assert [_outcome(stage, _peer(each)) for each in (leaf, twin)] == ["revoked", "revoked"]
    done(home, "revoke", "undo", _file(home, leaf))  # no entry of its own any more: its twin's
    assert [_outcome(stage, _peer(each)) for each in (leaf, twin)] == [200, 200]


def test_no_reason_steers_an_undo(home: Path, stage: Stage, root: Authority) -> None:
    """Whatever words a denial was given, taking back another one leaves it as it is."""
    leaf, other = _peer(_leaf(root)), _leaf(root)
    named = _file(home, leaf.der)
    reason = f"(with certificate {_peer(other).thumbprint})"
    done(home, "revoke", "cert", named, "--issuer-serial", "--reason", reason)
    done(home, "revoke", "cert", _file(home, other))
    done(home, "revoke", "undo", _peer(other).thumbprint)
    assert _outcome(stage, leaf) == "revoked"


def test_what_is_denied_later_known_is_denied_whole(
    home: Path, stage: Stage, root: Authority
) -> None:
    """A bare thumbprint stops its very bytes; naming the file afterwards stops its twin too."""
    leaf = _leaf(root)
    twin = _peer(_flipped(leaf))
    assert done(home, "revoke", "cert", _peer(leaf).thumbprint)["content"] is False
    assert _outcome(stage, twin) == 200
    assert done(home, "revoke", "cert", _file(home, leaf))["changed"] is True
    assert _outcome(stage, twin) == "revoked"
    assert done(home, "revoke", "cert", _file(home, leaf))["changed"] is False


def _imitation(issuer: bytes, imitated: bytes, label: str) -> bytes:
    """A self-signed certificate that calls itself what another's issuer and serial number are."""
    key = ca.key(label=label)
    serial = x509.load_der_x509_certificate(imitated).serial_number
    octets = serial.to_bytes((serial.bit_length() + 8) // 8, "big")
    return ca.sign(client_draft(issuer, key, clock.now()).with_(serial=octets), issuer, key)


def test_an_imitation_takes_nobody_along(home: Path, stage: Stage, root: Authority) -> None:
    """Who writes another's issuer and serial number into his own certificate is stopped alone."""
    middle = ca.below(root, name(("CN", "I")), ca.key(label="imitated middle"), clock.now())
    below = _peer(_leaf(middle), middle.certificate)
    assert _outcome(stage, below) == 200
    for imitated in (middle.certificate, below.der):
        issuer = name(("CN", "R")) if imitated is middle.certificate else name(("CN", "I"))
        forged = _imitation(issuer, imitated, "imitates")
        stopped = done(home, "revoke", "cert", _file(home, forged))
        assert stopped["clients"] == []
        assert _outcome(stage, below) == 200


@pytest.mark.parametrize("flags", KINDS)
def test_an_intermediate_stops_what_is_below_it(
    home: Path, stage: Stage, root: Authority, flags: tuple[str, ...]
) -> None:
    """Denied in any way, also where its verdict is remembered; nothing beside it; and back."""
    middle = ca.below(root, name(("CN", "I")), ca.key(label="denied middle"), clock.now())
    below, direct = _leaf(middle), _peer(_leaf(root))
    chains = [(below, middle.certificate)]
    if not flags:
        chains.append((below, _flipped(middle.certificate)))
    assert {_outcome(stage, _peer(*each)) for each in chains} == {200}
    named = _file(home, middle.certificate)
    outcome = call(home, "revoke", "cert", named, *flags)
    assert "every certificate below it" in outcome.out
    assert {_outcome(stage, _peer(*each)) for each in chains} == {"revoked"}
    assert _outcome(stage, direct) == 200
    done(home, "revoke", "undo", named)
    assert {_outcome(stage, _peer(*each)) for each in chains} == {200}


@pytest.mark.parametrize("flags", KINDS)
def test_path_material_of_a_set_is_denied_like_any(
    home: Path, stage: Stage, root: Authority, flags: tuple[str, ...]
) -> None:
    """A compromised CA below the anchor is stopped although it is a member, sent along or not."""
    middle = ca.below(root, name(("CN", "I")), ca.key(label="denied member"), clock.now())
    named = _file(home, middle.certificate)
    done(home, "trust", "add", "kit", named, "--intermediate")
    leaf = _leaf(middle)
    chains = [(leaf,), (leaf, middle.certificate)]
    assert {_outcome(stage, _peer(*each)) for each in chains} == {200}
    [forecast] = done(home, "trust", "remove", "kit", named, "--dry-run")["clients"]
    assert forecast["outlook"] == "unclear", "clients send it along"
    done(home, "revoke", "cert", named, *flags)
    assert {_outcome(stage, _peer(*each)) for each in chains} == {"revoked"}
    assert _outcome(stage, _peer(_leaf(root))) == 200
    check = call(home, "config", "check")
    assert "CN=I in kit" in check.out
    again = call(home, "trust", "add", "kit", named, "--intermediate")
    assert "on the deny-list" in again.out
    done(home, "trust", "remove", "kit", named)
    assert _outcome(stage, _peer(leaf, middle.certificate)) == "revoked"
    done(home, "revoke", "undo", named)
    assert _outcome(stage, _peer(leaf, middle.certificate)) == 200


def test_a_member_of_a_set_is_not_denied_by_imitation(
    home: Path, stage: Stage, root: Authority
) -> None:
    """A certificate that takes a CA's issuer and serial can be denied without denying the CA."""
    forged = _imitation(name(("CN", "R")), root.certificate, "imitator")
    named = _file(home, forged)
    refused(home, "revoke", "cert", named, "--issuer-serial")
    outcome = call(home, "revoke", "cert", named)
    assert (outcome.code, "--key" in outcome.out) == (0, True)
    assert _outcome(stage, _peer(_leaf(root))) == 200
    assert _outcome(stage, _peer(forged)) != 200


def test_a_member_is_not_denied_by_its_twin(home: Path, stage: Stage, root: Authority) -> None:
    """A trust set's certificate under another signature is refused as the member itself is."""
    named = _file(home, _flipped(root.certificate))
    assert "trust remove kit" in refused(home, "revoke", "cert", named)["do_this"]
    assert _outcome(stage, _peer(_leaf(root))) == 200
