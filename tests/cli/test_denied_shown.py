"""What is on the deny-list, or revoked, is not registered in silence, and is shown in every list."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app import clock
from app.tls.peer import PeerCertificate
from tests.kit import ca, crls
from tests.kit.asgi import Stage, peer_of
from tests.kit.authority import authority_of, serial_of
from tests.kit.ca import client_draft, name
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of
from tests.kit.placing import pem

METHOD = ("--method", "self_signed_tls_client_auth")
KINDS = ((), ("--key",), ("--issuer-serial",))


def _own(home: Path, label: str) -> Path:
    return issue(home / "certs", label, self_signed=True)


def _listed(home: Path, client_id: str) -> list[Any]:
    found: list[Any] = done(home, "client", "cert", "list", client_id)["credentials"]
    return found


def _denied(home: Path) -> dict[str, list[str]]:
    clients = done(home, "client", "list")["clients"]
    return {one["client_id"]: one["denied"] for one in clients if one["denied"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_denied_certificate_is_not_registered(home: Path, kind: tuple[str, ...]) -> None:
    """Neither with a new client nor for one there is, however it is denied; undone, it is."""
    first, bad = _own(home, "first"), _own(home, "bad")
    done(home, "client", "add", "own", *METHOD, "--cert", str(first))
    done(home, "revoke", "cert", str(bad), *kind)
    for command in (
        ("client", "add", "new", *METHOD, "--cert", str(bad)),
        ("client", "cert", "add", "own", str(bad)),
    ):
        error = refused(home, *command)
        assert error["message"] == "this is on the deny-list: nobody gets a token with it"
        assert "revoke list" in error["do_this"]
        assert ("certbound revoke undo" in error["do_this"]) == (kind != ("--issuer-serial",))
    assert len(_listed(home, "own")) == 1
    done(home, "revoke", "undo", str(bad))
    done(home, "client", "cert", "add", "own", str(bad))


def test_a_name_is_not_read_from_a_denied_certificate(home: Path) -> None:
    """The same where the certificate only tells the name; the printed command takes it back."""
    cert = issue(home / "certs", "named")
    digest = peer_of(cert).thumbprint
    done(home, "revoke", "cert", str(cert))
    error = refused(home, "client", "add", "named", "--cert", str(cert))
    assert error["do_this"].endswith(f"certbound revoke undo {digest} --home {home}")
    done(home, "revoke", "undo", digest)
    done(home, "client", "add", "named", "--cert", str(cert))


def test_a_denied_key_is_not_registered(home: Path) -> None:
    """A public key by itself is looked up too."""
    cert = _own(home, "keyed")
    public = home / "certs" / "keyed.pub"
    public.write_bytes(
        key_of(cert).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    done(home, "revoke", "cert", str(cert), "--key")
    error = refused(home, "client", "add", "keyed", *METHOD, "--public-key", str(public))
    words = error["do_this"].partition("certbound ")[2].partition("certbound ")[2].split()
    done(home, *words[: words.index("--home")])
    done(home, "client", "add", "keyed", *METHOD, "--public-key", str(public))


def test_lists_show_what_is_denied(home: Path, stage: Stage) -> None:
    """A registered and a learned certificate that are denied are marked, in both lists."""
    bad = _own(home, "bad")
    done(home, "client", "add", "own", *METHOD, "--cert", str(bad))
    assert stage.token(stage.bot).status == 200
    assert _denied(home) == {}
    done(home, "revoke", "cert", str(bad), "--issuer-serial")
    done(home, "revoke", "cert", str(home / "certs" / "bot.crt"), "--key")
    assert set(_denied(home)) == {"own", "bot"}
    for client_id, how in (("own", "issuer and serial"), ("bot", "key")):
        [one] = _listed(home, client_id)
        assert one["state"] == "revoked"
        assert one["denied"].startswith(how)
        assert f"denied: by {how}" in call(home, "client", "cert", "list", client_id).out
    out = call(home, "client", "list").out
    assert out.count("certificate denied by: ") == 2
    assert "! bot: " in out
    done(home, "revoke", "undo", str(bad))
    assert set(_denied(home)) == {"bot"}


def test_lists_show_a_denied_ca(home: Path, stage: Stage) -> None:
    """A client whose certificate came from an intermediate CA that was denied since is marked."""
    now = clock.now()
    root = ca.root(name(("CN", "R")), ca.key(label="shown root"), now)
    below = ca.below(root, name(("CN", "Below")), ca.key(label="shown below"), now)
    done(home, "trust", "add", "kit", str(pem(home / "certs" / "r.crt", root.certificate)))
    done(home, "client", "add", "a", "--subject-dn", "CN=a", "--trust", "kit")
    leaf = below.sign(client_draft(name(("CN", "a")), ca.key(label="shown leaf"), now))
    peer = PeerCertificate(leaf, (below.certificate,), "TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert stage.token(peer, client_id="a").status == 200
    assert _denied(home) == {}
    file = str(pem(home / "certs" / "below.crt", below.certificate))
    done(home, "revoke", "cert", file, "--key")
    assert _denied(home) == {"a": ["its CA CN=Below"]}
    [one] = _listed(home, "a")
    assert one["denied"] == "its CA CN=Below"
    assert stage.token(peer, client_id="a").status == 401, "which is what the lists said"
    done(home, "revoke", "undo", file)
    assert _denied(home) == {}


def test_a_certificate_that_its_ca_revoked(home: Path) -> None:
    """It is registered as a whole all the same, for no CA is asked about it; and this is said."""
    first, bad = _own(home, "first"), issue(home / "certs", "bad")
    file = home / "list.crl"
    file.write_bytes(crls.crl(authority_of(home), clock.now(), (serial_of(bad),)))
    done(home, "trust", "crl", "default", str(file))
    done(home, "trust", "revocation", "default", "crl")
    done(home, "client", "add", "own", *METHOD, "--cert", str(first))
    added = done(home, "client", "cert", "add", "own", str(bad))
    assert list(added["revoked_by_ca"].values()) == ["default"]
    done(home, "client", "remove", "own")
    assert (
        "! revoked by its CA: "
        in call(home, "client", "add", "new", *METHOD, "--cert", str(bad)).out
    )
    assert (
        done(home, "client", "add", "other", *METHOD, "--cert", str(first))["revoked_by_ca"] == {}
    )
