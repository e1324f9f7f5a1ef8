"""One key, one boundary: registering, labelling and listing what is shared; changing a client."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of

METHOD = ("--method", "self_signed_tls_client_auth")


@pytest.fixture
def shared(home: Path) -> Path:
    """A self-signed certificate, registered for the client ``a`` of tenant acme."""
    cert = issue(home / "certs", "a", self_signed=True)
    done(home, "client", "add", "a", *METHOD, "--cert", str(cert), "--tenant", "acme")
    return cert


def _client(home: Path, client_id: str) -> Any:
    return done(home, "client", "show", client_id)["client"]


def test_labels_are_kept_and_changed(home: Path) -> None:
    """Labels given at registration are shown; label changes those it names and leaves the others."""
    labels = ("--tenant", "acme", "--risk", "high", "--resource-class", "pii")
    done(home, "client", "add", "x", "--san-uri", "urn:x", *labels)
    assert [_client(home, "x")[n] for n in ("tenant", "risk", "resource_class")] == [
        "acme", "high", "pii",
    ]  # fmt: skip
    done(home, "client", "label", "x", "--risk", "low", "--resource-class", "")
    assert [_client(home, "x")[n] for n in ("tenant", "risk", "resource_class")] == [
        "acme", "low", "",
    ]  # fmt: skip
    refused(home, "client", "label", "x", code=2)
    assert refused(home, "client", "label", "x", "--tenant", "a b")["message"] == (
        "this is no tenant"
    )
    assert refused(home, "client", "label", "nobody", "--tenant", "a")["seen"] == "nobody"
    url = "https://api.example"
    assert done(home, "resource", "add", url, "--tenant", "acme")["tenant"] == "acme"
    assert done(home, "resource", "add", url, "--risk", "low")["tenant"] == "acme"


def test_a_key_of_another_tenant_is_refused(home: Path, shared: Path) -> None:
    """A certificate, or a new one with its key, is not registered for a client of another tenant."""
    error = refused(home, "client", "add", "b", *METHOD, "--cert", str(shared))
    assert error["message"] == "the client a holds this key (boundary_violation)"
    assert [one["client_id"] for one in done(home, "client", "list")["clients"]] == ["a", "bot"]
    own = issue(home / "certs", "c", self_signed=True)
    done(home, "client", "add", "c", *METHOD, "--cert", str(own), "--tenant", "beta")
    again = issue(home / "certs", "again", key=key_of(shared), self_signed=True)
    assert (
        "boundary_violation" in refused(home, "client", "cert", "add", "c", str(again))["message"]
    )
    assert len(done(home, "client", "cert", "list", "c")["credentials"]) == 1


def test_inside_a_tenant_it_is_reported(home: Path, shared: Path) -> None:
    """Within one tenant sharing is allowed and said; moving one of the two away is refused."""
    added = done(home, "client", "add", "b", *METHOD, "--cert", str(shared), "--tenant", "acme")
    assert added["shares_keys_with"] == ["a"]
    assert "shared certificate" in call(home, "audit", "sprawl").out
    for client_id in ("a", "b"):
        error = refused(home, "client", "label", client_id, "--tenant", "beta")
        assert "boundary_violation" in error["message"]
        assert _client(home, client_id)["tenant"] == "acme"


@pytest.mark.parametrize(("policy", "code"), [("refuse", 1), ("tenant", 1), ("report", 0)])
def test_the_setting_decides(home: Path, shared: Path, policy: str, code: int) -> None:
    """boundary_policy says whether another tenant's key is refused or only reported."""
    outcome = call(
        home, "client", "add", "b", *METHOD, "--cert", str(shared), "--tenant", "beta",
        environment={"CERTBOUND_BOUNDARY_POLICY": policy},
    )  # fmt: skip
    assert outcome.code == code


def test_sprawl_is_empty_then_not(home: Path, stage: Stage, shared: Path) -> None:
    """A fresh home has no sprawl; a shared certificate and a wide one are named with exit code 1."""
    assert done(home, "audit", "sprawl")["shared_keys"] == []
    done(home, "client", "add", "b", *METHOD, "--cert", str(shared), "--tenant", "acme")
    assert stage.token(stage.bot).status == 200
    outcome = call(home, "audit", "sprawl", "--resources", "0", "--json")
    assert outcome.code == 1
    assert [one["clients"] for one in outcome.json["shared_certificates"]] == [["a", "b"]]
    assert [one["clients"] for one in outcome.json["shared_keys"]] == [["a", "b"]]
    assert [one["client_id"] for one in outcome.json["wide"]] == ["bot"]
    assert call(home, "audit", "sprawl", "--resources", "0").code == 1


def test_sprawl_ends_when_it_is_mended(home: Path, stage: Stage, shared: Path) -> None:
    """A certificate that all but one retired, or that was revoked, is shared no more, used or not."""
    done(home, "client", "add", "b", *METHOD, "--cert", str(shared), "--tenant", "acme")
    for client_id in ("a", "b"):
        assert stage.token(stage.peer(shared.stem), client_id=client_id).status == 200
    out = call(home, "audit", "sprawl").out
    assert out.count("✘") == 1, "a certificate, and not its key once more"
    assert f"subject: CN={shared.stem}\n" in out
    assert "revoke cert" in out
    digest = done(home, "revoke", "cert", str(shared))["value"]
    assert done(home, "audit", "sprawl", "--resources", "9")["shared_certificates"] == []
    done(home, "revoke", "undo", digest)
    assert call(home, "audit", "sprawl").code == 1
    own = issue(home / "certs", "own", self_signed=True)
    done(home, "client", "cert", "add", "b", str(own))
    done(home, "client", "cert", "retire", "b", str(shared))
    found = done(home, "audit", "sprawl")
    assert (found["shared_certificates"], found["shared_keys"]) == ([], [])


def test_the_trail_shows_dates_and_no_internals(home: Path, stage: Stage) -> None:
    """What is not known is left out, and a moment stands as people write it."""
    assert stage.token(stage.bot).status == 200
    done(home, "revoke", "cert", str(home / "certs/bot.crt"), "--key")
    out = call(home, "audit", "tail", "-n", "1").out
    assert "certificate.denied" in out
    assert "None" not in out
    assert re.search(r"tokens until: 20\d\d-\d\d-\d\dT", out)


def test_trust_sets_of_a_client_are_replaced(home: Path) -> None:
    """The new list counts; a set that is not there, and a client no CA vouches for, are refused."""
    done(home, "trust", "add", "other", str(home / "certs/ca.crt"))
    done(home, "client", "trust", "bot", "other", "default", "other")
    assert _client(home, "bot")["trust_sets"] == ["other", "default"]
    error = refused(home, "client", "trust", "bot", "nope")
    assert error["message"] == "there is no such trust set"
    cert = issue(home / "certs", "own", self_signed=True)
    done(home, "client", "add", "own", *METHOD, "--cert", str(cert))
    assert refused(home, "client", "trust", "own", "other")["message"] == "no CA vouches for own"
    assert _client(home, "bot")["trust_sets"] == ["other", "default"]


def test_no_way_to_look_alikes(home: Path) -> None:
    """A client is not moved into a set, nor renamed, so that it looks like another there."""
    done(home, "trust", "add", "other", str(home / "certs/ca.crt"))
    done(home, "client", "add", "twin", "--san-uri", "spiffe://dev.local/bot", "--trust", "other")
    assert "has this subject" in refused(home, "client", "trust", "twin", "default")["message"]
    done(home, "client", "add", "third", "--san-uri", "urn:third")
    error = refused(home, "client", "match", "third", "--san-uri", "SPIFFE://dev.local/BOT")
    assert "has this subject" in error["message"]


def test_a_client_is_recognised_by_another_name(home: Path, stage: Stage) -> None:
    """Match replaces the name alone: scopes, trust sets and labels stay, and the next request counts."""
    done(home, "client", "label", "bot", "--tenant", "acme")
    cert = issue(home / "certs", "other")
    done(home, "client", "match", "bot", "--cert", str(cert))
    client = _client(home, "bot")
    assert (client["tls_client_auth_subject_dn"], client["tenant"]) == ("CN=other", "acme")
    assert (client["scope"], client["trust_sets"]) == ("api:read", ["default"])
    assert stage.token(stage.bot).status == 401
    assert stage.token(stage.peer("other")).status == 200
    refused(home, "client", "match", "bot", code=2)
    refused(home, "client", "match", "bot", "--san-dns", "a.example", "--san-uri", "urn:a", code=2)


@pytest.mark.parametrize(
    ("registered", "presented", "words"),
    [
        (("--subject-dn", "O=Acme,CN=x"), ("--dn", "CN=x,O=Acme"), "in the other order"),
        (("--subject-dn", "CN=X"), ("--dn", "CN=x"), "differs only in case"),
        (("--san-dns", "x.example"), ("--dn", "CN=x.example"), "in its subject, not as san_dns"),
        (("--san-uri", "urn:x"), ("--san-uri", "urn:X"), "differs only in case"),
        (("--san-email", "x@acme.example"), ("--dn", "CN=x@acme.example"), "in its subject"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_near_misses_have_a_command_that_mends_them(
    home: Path, registered: tuple[str, ...], presented: tuple[str, ...], words: str
) -> None:
    """The doctor names what almost matched, and the command it prints makes the certificate match."""
    cert = done(home, "ca", "issue", "x", *presented)["certificate"]
    done(home, "client", "add", "x", *registered)
    outcome = call(home, "doctor", "cert", cert, "--client", "x")
    assert words in outcome.out
    line = outcome.out.partition("certbound client match ")[2].splitlines()[0]
    assert call(home, "client", "match", *line.split("--home")[0].split()).code == 0
    assert done(home, "doctor", "cert", cert, "--client", "x")["answer"]["status"] == 200


def test_the_same_key_in_a_new_certificate(home: Path, shared: Path) -> None:
    """A renewed certificate with the registered key is recognised as such; the command adds it."""
    again = issue(home / "certs", "again", key=key_of(shared), self_signed=True)
    outcome = call(home, "doctor", "cert", str(again), "--client", "a")
    assert "same key, new certificate" in outcome.out
    line = outcome.out.partition("certbound client cert add ")[2].splitlines()[0]
    assert call(home, "client", "cert", "add", *line.split("--home")[0].split()).code == 0
    assert done(home, "doctor", "cert", str(again), "--client", "a")["answer"]["status"] == 200


def test_the_wrong_type_of_the_right_value(home: Path) -> None:
    """A certificate with the registered value as another type of SAN is told apart by the doctor."""
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("x.example")])
    cert = str(issue(home / "certs", "x", extensions=(uri,)))
    done(home, "client", "add", "x", "--san-dns", "x.example")
    outcome = call(home, "doctor", "cert", cert, "--client", "x")
    assert "has this value as san_uri, not as san_dns" in outcome.out
    done(home, "client", "match", "x", "--cert", cert)
    assert call(home, "doctor", "cert", cert, "--client", "x").code == 0


def test_explain_gives_the_same_advice(home: Path, stage: Stage) -> None:
    """The recorded refusal of a near miss names the client in the command that mends it."""
    cert = done(home, "ca", "issue", "x", "--dn", "CN=x,O=Acme")["certificate"]
    done(home, "client", "add", "x", "--subject-dn", "O=Acme,CN=x")
    ref = stage.token(stage.peer("x"), client_id="x").json()["error_ref"]
    out = call(home, "explain", ref).out
    assert "same attributes in the other order" in out
    assert "certbound client match x --cert FILE" in out
    line = call(home, "doctor", "cert", cert, "--client", "x").out
    assert "same attributes in the other order" in line
    assert f"certbound client match x --cert {cert}" in line
