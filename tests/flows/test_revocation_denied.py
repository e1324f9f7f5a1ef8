"""The local deny-list: ``revoke cert`` stops a certificate for all clients, at their next request."""

import pytest

from tests.kit import ca, placing
from tests.kit.ca import Authority
from tests.kit.live import claims, live, reason
from tests.kit.running import Running

SELF_SIGNED = ("--method", "self_signed_tls_client_auth")


def authority_of(server: Running, name: str) -> Authority:
    """A CA of its own, pinned in the trust set `name`."""
    authority = placing.root(f"CA of {name}")
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    return authority


def client(server: Running, name: str, trust_set: str) -> None:
    """A client recognised by the subject ``CN=<name>``."""
    server.certbound("client", "add", name, "--subject-dn", f"CN={name}", "--trust", trust_set)


@pytest.mark.parametrize("flag", ["", "--key", "--issuer-serial"])
def test_stopped_and_let_in_again_on_an_open_connection(server: Running, flag: str) -> None:
    """By thumbprint, by key, by issuer and serial; a rehearsal counts and changes nothing."""
    name = f"denied{flag}"
    authority = authority_of(server, name)
    placing.place(server, name, authority)
    client(server, name, name)
    revoke = ["revoke", "cert", str(server.file(f"{name}.crt")), *([flag] if flag else [])]
    with live(server, name) as ask:
        for _ in range(3):
            assert claims(ask())["sub"] == name
        page = server.certbound_json(*revoke, "--dry-run")
        assert (page["clients"], page["tokens"]["count"]) == ([name], 3)
        assert claims(ask())["sub"] == name
        page = server.certbound_json(*revoke, "--reason", "left in a train")
        assert (page["clients"], page["tokens"]["count"]) == ([name], 4)
        assert reason(server, ask()) == "revoked"
        [row] = [
            each
            for each in server.certbound_json("revoke", "list")["revoked"]
            if each["value"] == page["value"]
        ]
        assert row["reason"] == "left in a train"
        server.certbound("revoke", "undo", page["value"])
        assert claims(ask())["sub"] == name


def test_a_key_is_stopped_in_all_its_certificates(server: Running) -> None:
    """By thumbprint one certificate stops; by key the others too, and those that come later."""
    authority, key = authority_of(server, "rekeyed"), ca.key(label="one key")
    for name in ("rekeyed", "rekeyed-2", "rekeyed-3"):
        placing.place(server, name, authority, key=key, subject="rekeyed")
    placing.place(server, "rekeyed-new", authority, subject="rekeyed")
    client(server, "rekeyed", "rekeyed")
    with (
        live(server, "rekeyed") as first,
        live(server, "rekeyed-2", "rekeyed") as second,
        live(server, "rekeyed-new", "rekeyed") as fresh,
    ):
        assert claims(first())["sub"] == claims(second())["sub"] == "rekeyed"
        server.certbound("revoke", "cert", str(server.file("rekeyed.crt")), "--key")
        assert reason(server, first()) == reason(server, second()) == "revoked"
        with live(server, "rekeyed-3", "rekeyed") as third:
            assert reason(server, third()) == "revoked"
        assert claims(fresh())["sub"] == "rekeyed"


def test_one_certificate_of_a_client_with_several(server: Running) -> None:
    """The others go on; removing the client helps nobody, and the lost one is not registered again."""
    for name in ("several-lost", "several-kept"):
        server.certbound("ca", "issue", name, "--self-signed")
    lost, kept = (server.file(f"{name}.crt") for name in ("several-lost", "several-kept"))
    server.certbound(
        "client", "add", "several", *SELF_SIGNED, "--cert", str(lost), "--cert", str(kept)
    )
    with (
        live(server, "several-lost", "several") as first,
        live(server, "several-kept", "several") as other,
    ):
        assert claims(first())["sub"] == claims(other())["sub"] == "several"
        server.certbound("revoke", "cert", str(lost))
        assert reason(server, first()) == "revoked"
        assert claims(other())["sub"] == "several"
        server.certbound("client", "remove", "several")
        server.certbound("client", "add", "several", *SELF_SIGNED, "--cert", str(kept))
        error = server.problem("client", "cert", "add", "several", str(lost))
        assert "deny-list" in error["message"]
        assert reason(server, first()) == "thumbprint_unregistered"
        assert claims(other())["sub"] == "several"


def test_a_shared_certificate_stops_for_every_client(server: Running) -> None:
    """Two clients of one certificate: the page names both, and neither gets a token."""
    names = ca.san(dns=["two.example"])
    placing.place(server, "shared-by-two", authority_of(server, "sharing"), names)
    by_subject, by_name = ("--subject-dn", "CN=shared-by-two"), ("--san-dns", "two.example")
    server.certbound("client", "add", "sharer-a", *by_subject, "--trust", "sharing")
    server.certbound("client", "add", "sharer-b", *by_name, "--trust", "sharing")
    with (
        live(server, "shared-by-two", "sharer-a") as one,
        live(server, "shared-by-two", "sharer-b") as two,
    ):
        assert claims(one())["sub"] == "sharer-a"
        assert claims(two())["sub"] == "sharer-b"
        page = server.certbound_json("revoke", "cert", str(server.file("shared-by-two.crt")))
        assert page["clients"] == ["sharer-a", "sharer-b"]
        assert reason(server, one()) == reason(server, two()) == "revoked"


def test_an_authority_is_not_revoked_here(server: Running) -> None:
    """A CA of a trust set is stopped by taking it out of the set, and the command says so."""
    authority = authority_of(server, "not-here")
    error = server.problem(
        "revoke", "cert", str(placing.authority_file(server, authority, "not-here"))
    )
    assert "trust remove" in str(error)
