"""Proxies: pinned by their very certificate, for resources that are registered."""

from pathlib import Path

import pytest

from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue

URL = "https://localhost:9444"


@pytest.fixture
def edge(home: Path) -> str:
    """The file of a proxy's certificate."""
    return str(issue(home / "certs", "edge"))


def test_a_proxy_is_added_listed_and_removed(home: Path, stage: Stage, edge: str) -> None:
    """What the server knows follows at once, by the certificate's thumbprint."""
    added = done(home, "proxy", "add", "edge", edge, "--resource", URL, "--header", "nginx")
    thumbprint = stage.peer("edge").thumbprint
    assert added["proxy"]["x5t#S256"] == thumbprint
    assert done(home, "proxy", "list")["proxies"] == [added["proxy"]]
    stage.refresh()
    known = stage.house.door.snapshots.current.proxies[thumbprint]
    assert (known.name, known.header, known.resources) == ("edge", "nginx", (URL,))
    assert thumbprint in call(home, "proxy", "list").out
    done(home, "proxy", "remove", "edge")
    stage.refresh()
    assert stage.house.door.snapshots.current.proxies == {}
    assert "no proxies" in call(home, "proxy", "list").out
    events = [one["body"]["event"] for one in done(home, "audit", "tail", "-n", "2")["entries"]]
    assert events == ["proxy.added", "proxy.removed"]


def test_names_and_certificates_are_taken_once(home: Path, edge: str) -> None:
    """Neither a second name for one certificate nor a second certificate under one name."""
    done(home, "proxy", "add", "edge", edge, "--resource", URL)
    other = str(issue(home / "certs", "other"))
    for name, file in (("edge", other), ("again", edge)):
        problem = refused(home, "proxy", "add", name, file, "--resource", URL)
        assert problem["message"] == "this proxy is registered already"
    assert "edge" in refused(home, "proxy", "add", "again", edge, "--resource", URL)["seen"]


def test_what_cannot_be_a_proxy(home: Path, edge: str) -> None:
    """A CA, an ended certificate, a private key, a bad name, an unknown resource or header."""
    certs = home / "certs"
    ended = str(issue(certs, "ended", seconds=-60))
    for_it = ("--resource", URL)
    assert "CA" in refused(home, "proxy", "add", "x", str(certs / "ca.crt"), *for_it)["seen"]
    assert "ended" in refused(home, "proxy", "add", "x", ended, *for_it)["seen"]
    assert refused(home, "proxy", "add", "x", str(certs / "edge.key"), *for_it)
    for name in ("direct", "a b", ".x", "x" * 65):
        problem = refused(home, "proxy", "add", name, edge, *for_it)
        assert problem["message"] == "this cannot be a proxy's name"
    nowhere = ("--resource", "https://nowhere.example")
    assert refused(home, "proxy", "add", "x", edge, *nowhere)
    refused(home, "proxy", "add", "x", edge, *for_it, "--header", "xfcc", code=2)
    refused(home, "proxy", "add", "x", edge, code=2)
    assert refused(home, "proxy", "remove", "x")["message"] == "there is no such proxy"
    assert done(home, "proxy", "list")["proxies"] == []
