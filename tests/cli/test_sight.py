"""Who may look at which tokens: given with the client or later, shown, and only for what is there."""

from pathlib import Path
from typing import Any

from tests.kit.command import call, done, refused

URL = "https://localhost:9444"


def sight(home: Path, client_id: str) -> tuple[Any, Any]:
    """What a client may look at."""
    client = done(home, "client", "show", client_id)["client"]
    return client["introspection"], client["serves"]


def test_an_onlooker(home: Path) -> None:
    """A resource's server that gets no tokens: registered, shown and diagnosed as that."""
    cert = str(done(home, "ca", "issue", "api", "--san-uri", "urn:api")["certificate"])
    words = ("client", "add", "api", "--cert", cert, "--grant", "none", "--serves", URL)
    added = call(home, *words)
    assert added.code == 0
    assert "grants: none" in added.out
    assert f"may look at: its own tokens, and those for {URL}" in added.out
    assert "✘" not in added.out
    assert sight(home, "api") == ("own", [URL])
    assert "grants: none" in call(home, "client", "show", "api").out
    assert f"looks at its own tokens, and those for {URL}" in call(home, "client", "list").out
    doctor = call(home, "doctor", "cert", cert, "--client", "api")
    assert doctor.code == 0
    assert "the introspection endpoint would answer" in doctor.out


def test_sight_is_changed(home: Path) -> None:
    """All, those for what it serves, or its own: each takes the place of the one before."""
    other = "https://files.example"
    done(home, "resource", "add", other)
    assert sight(home, "bot") == ("own", [])
    done(home, "client", "sight", "bot", "--serves", URL, "--serves", other)
    assert sight(home, "bot") == ("own", [URL, other])
    done(home, "client", "sight", "bot", "--introspect-all")
    assert sight(home, "bot") == ("all", [])
    assert "may look at: every token" in call(home, "client", "show", "bot").out
    done(home, "client", "sight", "bot", "--own")
    assert sight(home, "bot") == ("own", [])
    [entry] = done(home, "audit", "tail", "-n", "1")["entries"]
    assert entry["body"]["event"] == "client.changed"
    assert entry["body"]["details"]["before"] == {"introspection": "all", "serves": []}


def test_what_is_refused(home: Path) -> None:
    """Unregistered resources, an unknown client, two answers at once, none beside a grant."""
    cert = str(done(home, "ca", "issue", "api", "--san-uri", "urn:api")["certificate"])
    add = ("client", "add", "api", "--cert", cert)
    nowhere = ("--serves", "https://nowhere.example")
    for words in ((*add, *nowhere), ("client", "sight", "bot", *nowhere)):
        assert refused(home, *words)["message"] == "this resource is not registered"
    refused(home, "client", "sight", "nobody", "--own")
    refused(home, "client", "sight", "bot", code=2)
    refused(home, "client", "sight", "bot", "--own", "--introspect-all", code=2)
    both = ("--grant", "none", "--grant", "client_credentials")
    assert refused(home, *add, *both)["message"] == "this grant is not known"
    assert sight(home, "bot") == ("own", [])


def test_advice_keeps_sight(home: Path) -> None:
    """A client that is to be registered anew is registered with what it may look at."""
    cert = str(done(home, "ca", "issue", "api", "--san-uri", "urn:api")["certificate"])
    done(home, "client", "add", "api", "--cert", cert, "--grant", "none", "--introspect-all")
    own = str(done(home, "ca", "issue", "own", "--self-signed")["certificate"])
    out = call(home, "doctor", "cert", own, "--client", "api").out
    assert "--grant none --introspect-all" in out
