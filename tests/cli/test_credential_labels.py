"""Labels, custody and owner of one certificate: given, changed, shown, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of

METHOD = ("--method", "self_signed_tls_client_auth")
NAMES = ("tenant", "risk", "resource_class", "custody", "owner")
RED = "https://red.example"
BLUE = "https://blue.example"


@pytest.fixture
def first(home: Path) -> Path:
    """The certificate that the unlabelled client ``own`` is registered with."""
    cert = issue(home / "certs", "first", self_signed=True)
    for url, tenant in ((RED, "red"), (BLUE, "blue")):
        done(home, "resource", "add", url, "--scope", "read", "--tenant", tenant)
    resources = ("--resource", RED, "--resource", BLUE)
    done(home, "client", "add", "own", *METHOD, "--cert", str(cert), *resources)
    return cert


def _new(home: Path, name: str, **options: Any) -> Path:
    return issue(home / "certs", name, self_signed=True, **options)


def _notes(home: Path, client_id: str = "own") -> list[tuple[str, ...]]:
    rows = done(home, "client", "cert", "list", client_id)["credentials"]
    return [tuple(row[name] for name in NAMES) for row in rows]


def _audit(home: Path, event: str) -> Any:
    entries = done(home, "audit", "tail", "-n", "50")["entries"]
    return [one["body"] for one in entries if one["body"]["event"] == event][-1]


def _ask(stage: Stage, name: str, resource: str) -> str:
    """The status, and of a refusal the error."""
    answer = stage.token(stage.peer(name), client_id="own", resource=resource)
    return "ok" if answer.status == 200 else str(answer.json()["error"])


def test_labels_are_given_and_changed_one_by_one(home: Path, first: Path) -> None:
    """What is given when it is registered, or later, is kept, shown and in the audit; the rest stays."""
    labels = ("--tenant", "red", "--risk", "high", "--resource-class", "pii")
    new = _new(home, "new")
    added = done(home, "client", "cert", "add", "own", str(new), *labels, "--custody", "hsm")
    assert added["tenant"] == "red"
    assert _notes(home) == [("", "", "", "unknown", ""), ("red", "high", "pii", "hsm", "")]
    assert _audit(home, "certificate.added")["details"]["tenant"] == "red"
    changed = ("--risk", "low", "--owner", "ops", "--resource-class", "")
    out = call(home, "client", "cert", "label", "own", str(new), *changed).out
    assert "owner: ops" in out
    assert "tenant: red" in out
    assert _notes(home)[1] == ("red", "low", "", "hsm", "ops")
    assert _audit(home, "certificate.changed")["details"] == {
        "risk": "low", "owner": "ops", "resource_class": "",
    }  # fmt: skip
    assert "tenant: red" in call(home, "client", "show", "own").out
    done(home, "client", "cert", "label", "own", str(first), "--custody", "tpm")
    assert _notes(home)[0] == ("", "", "", "tpm", "")


def test_what_cannot_be_noted(home: Path, first: Path) -> None:
    """Nothing given, a malformed word, an unknown certificate and a learned one are refused."""
    command = ("client", "cert", "label", "own", str(first))
    refused(home, *command, code=2)
    refused(home, *command, "--custody", "pocket", code=2)
    assert refused(home, *command, "--tenant", "a b")["message"] == "this is no tenant"
    assert refused(home, *command, "--owner", "x" * 201)["message"] == "the owner is too long"
    other = str(_new(home, "other"))
    error = refused(home, "client", "cert", "label", "own", other, "--owner", "x")
    assert "no registered certificate" in error["message"]
    assert refused(home, "client", "cert", "label", "no", other, "--owner", "x")["seen"] == "no"
    assert _notes(home) == [("", "", "", "unknown", "")]


def test_custody_when_the_client_is_added(home: Path) -> None:
    """--custody and --owner go to every certificate of a new client; a name from a CA has none."""
    certs = [word for name in ("a", "b") for word in ("--cert", str(_new(home, name)))]
    keeping = ("--custody", "kms", "--owner", "team a")
    added = done(home, "client", "add", "two", *METHOD, *certs, *keeping)
    assert len(added["credentials"]) == 2
    assert _notes(home, "two") == [("", "", "", "kms", "team a")] * 2
    assert _audit(home, "client.added")["details"]["owner"] == "team a"
    error = refused(home, "client", "add", "x", "--san-uri", "urn:x", *keeping)
    assert error["seen"] == "--custody and --owner"
    uri = ("--jwks-uri", "https://nowhere.invalid/jwks")
    assert "jwks_uri" in refused(home, "client", "add", "x", *METHOD, *uri, *keeping)["expected"]


def test_the_certificate_decides_which_resource(home: Path, stage: Stage, first: Path) -> None:
    """A certificate of one tenant gets no token for another's resource, though its client has none."""
    new = _new(home, "new")
    done(home, "client", "cert", "add", "own", str(new), "--tenant", "red")
    assert [_ask(stage, "first", url) for url in (RED, BLUE)] == ["ok", "ok"]
    assert [_ask(stage, "new", url) for url in (RED, BLUE)] == ["ok", "invalid_target"]
    done(home, "client", "cert", "label", "own", str(first), "--tenant", "blue")
    assert [_ask(stage, "first", url) for url in (RED, BLUE)] == ["invalid_target", "ok"]
    done(home, "client", "cert", "label", "own", str(first), "--tenant", "")
    assert [_ask(stage, "first", url) for url in (RED, BLUE)] == ["ok", "ok"]
    ref = stage.token(stage.peer("new"), client_id="own", resource=BLUE).json()["error_ref"]
    told = call(home, "explain", ref).out
    assert f"a certificate of tenant red asks for {BLUE} of tenant blue" in told


def test_a_label_that_contradicts_the_client(home: Path, stage: Stage, first: Path) -> None:
    """A certificate of another tenant than its client is refused, in whichever order they come."""
    new = _new(home, "new")
    done(home, "client", "label", "own", "--tenant", "blue")
    add = ("client", "cert", "add", "own", str(new), "--tenant", "red")
    error = refused(home, *add)
    assert "of another tenant (boundary_violation)" in error["message"]
    assert error["seen"] == "a certificate of tenant red at a client of tenant blue"
    command = ("client", "cert", "label", "own", str(first), "--tenant", "red")
    assert "another tenant" in refused(home, *command)["message"]
    assert _notes(home) == [("", "", "", "unknown", "")]
    done(home, "client", "label", "own", "--tenant", "")
    done(home, *add)
    assert (
        "another tenant" in refused(home, "client", "label", "own", "--tenant", "blue")["message"]
    )
    only_reported = {"CERTBOUND_BOUNDARY_POLICY": "report"}
    label = ("client", "label", "own", "--tenant", "blue")
    assert call(home, *label, environment=only_reported).code == 0
    assert stage.token(stage.peer("new"), client_id="own", resource=RED).status == 401
    out = call(home, "doctor", "cert", str(new), "--client", "own").out
    assert "a certificate of tenant red at a client of tenant blue" in out


@pytest.mark.parametrize("option", ["--risk", "--resource-class"])
def test_under_refuse_every_label_is_guarded(home: Path, first: Path, option: str) -> None:
    """A certificate of another risk than its client, or one key of two, is refused in any order."""
    refuse = {"CERTBOUND_BOUNDARY_POLICY": "refuse"}

    def told(*words: str) -> str:
        outcome = call(home, "client", *words, "--json", environment=refuse)
        return "" if outcome.code == 0 else str(json.loads(outcome.err)["error"]["message"])

    word = option[2:].replace("-", " ")
    add = ("cert", "add", "own", str(_new(home, "new")), option, "low")
    assert told("label", "own", option, "high") == ""
    assert f"of another {word} " in told(*add)
    assert f"of another {word} " in told("cert", "label", "own", str(first), option, "low")
    assert told("label", "own", option, "") == ""
    assert told(*add) == ""
    assert f"of another {word} " in told("label", "own", option, "high")
    again = ("cert", "add", "own", str(_new(home, "again", key=key_of(first))), option, "low")
    assert f"for another {word} too" in told(*again)
    assert call(home, "client", *again).code == 0, "between tenants only, by default"


def test_only_reported(home: Path, first: Path) -> None:
    """With boundary_policy = report the contradiction is registered, and said."""
    done(home, "client", "label", "own", "--tenant", "blue")
    outcome = call(
        home, "client", "cert", "add", "own", str(_new(home, "new")), "--tenant", "red",
        environment={"CERTBOUND_BOUNDARY_POLICY": "report"},
    )  # fmt: skip
    assert outcome.code == 0
    assert "! boundary: a certificate of tenant red at a client of tenant blue" in outcome.out
    assert first.exists()


def test_a_key_is_held_for_the_certificates_tenant(home: Path, first: Path) -> None:
    """Who else may hold a key follows from the certificates' labels, and one key has one tenant."""
    again = _new(home, "again", key=key_of(first))
    done(home, "client", "cert", "label", "own", str(first), "--tenant", "red")
    error = refused(home, "client", "cert", "add", "own", str(again))
    assert "for another tenant too" in error["message"]
    other = ("client", "add", "other", *METHOD, "--cert", str(again))
    assert "holds this key" in refused(home, *other)["message"]
    assert "holds this key" in refused(home, *other, "--tenant", "blue")["message"]
    assert done(home, *other, "--tenant", "red")["shares_keys_with"] == ["own"]
    label = ("client", "cert", "label", "own", str(first), "--tenant", "blue")
    assert "holds this key" in refused(home, *label)["message"]


def test_a_rehearsal_keeps_the_labels(home: Path, stage: Stage, first: Path) -> None:
    """The step that registers a successor gives it the labels of the certificate it replaces."""
    done(home, "client", "cert", "label", "own", str(first), "--tenant", "red", "--risk", "low")
    new = _new(home, "new")
    found = done(home, "client", "rehearse", "own", str(new))
    assert found["labels"] == {"tenant": "red", "risk": "low"}
    step = found["steps"][0]["command"]
    words = step[1 : step.index("--home")] if "--home" in step else step[1:]
    done(home, *words)
    assert _notes(home)[1] == ("red", "low", "", "unknown", "")
    assert _ask(stage, "new", BLUE) == "invalid_target"


def test_the_doctor_tells_the_labels(home: Path, first: Path) -> None:
    """The doctor shows the credential's labels, and which of the client's resources they bar."""
    done(home, "client", "cert", "label", "own", str(first), "--tenant", "red")
    out = call(home, "doctor", "cert", str(first), "--client", "own").out
    assert "credential: active, tenant red, never used" in out
    assert f"client_credentials for {RED}" in out
    assert f"across a boundary, so not for {BLUE}" in out
