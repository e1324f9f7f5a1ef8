"""SPIFFE on the command line: bundles as trust sets, and clients known by their ID."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from app.admin.authority import Request
from tests.kit.asgi import Stage
from tests.kit.authority import authority_of
from tests.kit.command import call, done, refused

DOMAIN = ("--trust-domain", "dev.local")
BOT = "spiffe://dev.local/bot"


def _bundle(home: Path, name: str = "bundle.json", **members: Any) -> str:
    x5c = [base64.b64encode(authority_of(home).certificate).decode()]
    entry = {"kty": "EC", "use": "x509-svid", "x5c": x5c}
    path = home / name
    path.write_text(json.dumps({"keys": [entry], "spiffe_sequence": 3, **members}))
    return str(path)


@pytest.fixture
def mesh(home: Path) -> str:
    """The trust set ``mesh``, whose anchors are the bundle of dev.local."""
    file = _bundle(home)
    done(home, "trust", "bundle", "mesh", file, *DOMAIN)
    return file


def test_a_bundle_makes_a_bounded_set(home: Path, mesh: str) -> None:
    """The bundle's CA is pinned, its sequence kept, and the set vouches for its own domain alone."""
    [found] = [one for one in done(home, "trust", "list")["trust_sets"] if one["name"] == "mesh"]
    assert found["trust_domain"] == "dev.local"
    assert found["permitted"] == ["spiffe:dev.local"]
    assert (found["bundle"]["source"], found["bundle"]["sequence"]) == (mesh, 3)
    assert found["bundle"]["stale"] is False
    assert len(found["certificates"]) == 1
    assert "bundle: " in call(home, "trust", "list").out


def test_a_client_by_its_spiffe_id(home: Path, stage: Stage, mesh: str) -> None:
    """A client registered by its ID, or by all below a path, authenticates with its SVID alone."""
    assert mesh
    done(home, "client", "add", "svid", "--spiffe-id", BOT, "--trust", "mesh")
    shown = done(home, "client", "show", "svid")["client"]
    assert (shown["spiffe_id"], shown["trust_sets"]) == (BOT, ["mesh"])
    assert stage.token(stage.bot, client_id="svid").status == 200
    peer = stage.issue("other", Request(san_uri=("spiffe://dev.local/other",)))
    assert stage.token(peer, client_id="svid").status == 401
    done(home, "client", "match", "svid", "--spiffe-id", "spiffe://dev.local/*")
    assert stage.token(peer, client_id="svid").status == 200
    assert "spiffe_id spiffe://dev.local/*" in call(home, "client", "list").out


def test_a_domain_that_is_removed_leaves_its_ids_to_no_other_ca(
    home: Path, stage: Stage, mesh: str
) -> None:
    """A client by a SPIFFE URI stays a SPIFFE client, whatever other CA it has."""
    assert mesh
    uri = "spiffe://dev.local/agent"
    peer = stage.issue("agent", Request(san_uri=(uri,)))
    done(home, "client", "add", "agent", "--san-uri", uri, "--trust", "mesh", "--trust", "default")
    assert stage.token(peer, client_id="agent").status == 200
    [dry] = done(home, "trust", "remove", "mesh", "--dry-run")["clients"]
    assert (dry["client_id"], dry["outlook"]) == ("agent", "stops")
    assert done(home, "client", "show", "agent")["client"]["spiffe_id"] is None
    done(home, "trust", "remove", "mesh")
    answer = stage.token(peer, client_id="agent")
    assert stage.explained(answer.json()["error_ref"])["reason"] == "trust_domain_unknown"
    assert done(home, "client", "show", "agent")["client"]["spiffe_id"] == uri
    assert stage.token(stage.bot).status == 200, "no set of it ever had a trust domain"
    done(home, "trust", "bundle", "mesh", mesh, *DOMAIN)
    assert stage.token(peer, client_id="agent").status == 200


def test_an_id_and_its_trust_set_belong_together(home: Path, mesh: str) -> None:
    """An ID of another domain, or a set that stands for none, is refused with the mending command."""
    assert mesh
    add = ("client", "add", "x", "--spiffe-id")
    error = refused(home, *add, "spiffe://other.example/x", "--trust", "mesh")
    assert "--trust-domain other.example" in error["do_this"]
    assert refused(home, *add, BOT)["message"] == (
        "no trust set of this client stands for its trust domain"
    )
    for text in ("spiffe://dev.local", "https://dev.local/x", "spiffe://Dev.Local/x", BOT + "/"):
        assert refused(home, *add, text, "--trust", "mesh")["message"] == "this is no SPIFFE ID"
    own = ("--method", "self_signed_tls_client_auth", "--cert", str(home / "certs/bot.crt"))
    refused(home, "client", "add", "x", *own, "--spiffe-id", BOT, code=2)


def test_ids_that_overlap_are_refused(home: Path, mesh: str) -> None:
    """Two clients of one set that one workload could be are refused, in either order."""
    assert mesh
    add = ("--trust", "mesh", "--spiffe-id")
    done(home, "client", "add", "one", *add, "spiffe://dev.local/ns/a/one")
    error = refused(home, "client", "add", "all", *add, "spiffe://dev.local/ns/a/*")
    assert error["message"].startswith("the client one has this subject")
    done(home, "client", "add", "rest", *add, "spiffe://dev.local/ns/b/*")
    refused(home, "client", "add", "two", *add, "spiffe://dev.local/ns/b/two")
    refused(
        home, "client", "add", "two", "--trust", "mesh", "--san-uri", "spiffe://dev.local/ns/b/x"
    )
    done(home, "client", "add", "two", *add, "spiffe://dev.local/ns/c/two")


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"keys": []}', '{"keys": [{"kty": "EC", "use": "x509-svid", "x5c": ["!"]}]}'],
)
def test_files_that_hold_no_bundle(home: Path, text: str) -> None:
    """An empty, foreign or broken file makes no set: never zero anchors in silence."""
    (home / "bad.json").write_text(text)
    outcome = call(home, "trust", "bundle", "mesh", str(home / "bad.json"), *DOMAIN, "--json")
    assert outcome.code in {1, 3}
    assert [one["name"] for one in done(home, "trust", "list")["trust_sets"]] == ["default"]


def test_sources_that_are_none(home: Path) -> None:
    """A missing file, a plain-http URL and a malformed domain are refused before anything is stored."""
    refused(home, "trust", "bundle", "mesh", str(home / "gone.json"), *DOMAIN, code=3)
    refused(home, "trust", "bundle", "mesh", "http://a.example/bundle", *DOMAIN)
    refused(home, "trust", "bundle", "mesh", _bundle(home), "--trust-domain", "A B")
    refused(home, "trust", "bundle", "mesh", _bundle(home), code=2)
    assert [one["name"] for one in done(home, "trust", "list")["trust_sets"]] == ["default"]


def test_pinned_anchors_are_not_replaced(home: Path, mesh: str) -> None:
    """A set pinned by hand does not turn into a bundle, nor is a bundle's set changed by hand."""
    error = refused(home, "trust", "bundle", "default", mesh, *DOMAIN)
    assert "pinned by hand" in error["message"]
    ca = str(home / "certs/ca.crt")
    for command in (("add", "mesh", ca), ("remove", "mesh", ca)):
        assert "SPIFFE bundle" in refused(home, "trust", *command)["message"]


def test_a_sequence_never_goes_back(home: Path, mesh: str) -> None:
    """An older bundle from the same source is not taken; the exit code says that nothing was loaded."""
    _bundle(home, spiffe_sequence=2)
    outcome = call(home, "trust", "bundle", "mesh", mesh, *DOMAIN, "--json")
    assert outcome.code == 1
    assert "goes back" in outcome.json["problem"]
    _bundle(home, spiffe_sequence=4)
    assert done(home, "trust", "bundle", "mesh", mesh, *DOMAIN)["bundle"]["sequence"] == 4


def test_an_address_that_is_not_asked(home: Path) -> None:
    """A URL on this machine is not fetched unless allowed; the set is kept, empty, and it is said."""
    url = "https://127.0.0.1:1/bundle"
    outcome = call(home, "trust", "bundle", "mesh", url, *DOMAIN, "--max-staleness", "1h")
    assert outcome.code == 1
    assert "the server goes on trying" in outcome.out
    out = call(home, "trust", "list").out
    assert "mesh has none: it vouches for nobody" in out
    assert "never loaded" in out
