"""The issuer's keys, found over real HTTPS from its identifier alone."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jose.document import FetchFailed, FetchRefused, Limits, RemoteDocuments
from app.resource.kept import OutOfReach, patiently
from app.resource.keys import LONGEST, SHORTEST, IssuerKeys, metadata, over_https, well_known
from app.resource.testing import Issuer
from tests.kit.https import Answer, HttpsServer, serving
from tests.resource.desk import Clock, Desk

WELL_KNOWN = "/.well-known/oauth-authorization-server"


class Published:
    """A test issuer's documents on a real server."""

    def __init__(self, server: HttpsServer) -> None:
        self.server = server
        self.issuer = Issuer(server.url(""))
        self.now = Clock()
        self.publish()

    def publish(self, headers: dict[str, str] | None = None, **members: Any) -> None:
        """Put them up; `members` are changes of the metadata, None takes one away."""
        for url, (content_type, body) in self.issuer.documents.items():
            path = url.removeprefix(self.issuer.url)
            text = body
            if path == WELL_KNOWN:
                changed = {**json.loads(body), **members}
                text = json.dumps({k: v for k, v in changed.items() if v is not None}).encode()
            answer = Answer(text, headers=headers or {}, content_type=content_type)
            self.server.answers[path] = answer

    def keys(self) -> IssuerKeys:
        """As a verifier has them."""
        return IssuerKeys(self.issuer.url, over_https(self.server.ca_file), self.now)

    def hits(self, path: str) -> int:
        """Requests for it so far."""
        return [seen.path for seen in self.server.seen].count(path)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """One per test."""
    with serving(tmp_path) as server:
        yield Published(server)


def test_keys_are_found_from_the_issuer_alone(published: Published) -> None:
    """Metadata, key set and status list over TLS, the server's certificate checked; then a token."""
    options = {"fetch": over_https(published.server.ca_file)}
    desk = Desk(options, published.issuer)
    assert desk.ask(desk.token()).status == 200
    assert [seen.path for seen in published.server.seen] == [
        WELL_KNOWN,
        "/jwks",
        "/status-lists/test",
    ]
    assert Desk({"fetch": over_https(None)}, published.issuer).ask(desk.token()).status == 503


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": "https://other.test"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": 7},
        {"jwks_uri": "http://localhost/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://169.254.169.254/jwks"},
    ],
)
def test_metadata_of_others_or_without_keys(published: Published, members: dict[str, Any]) -> None:
    """Another issuer's document under this address, or no usable ``jwks_uri``: no keys at all."""
    published.publish(**members)
    with pytest.raises(OutOfReach):
        patiently(published.keys().current)
    assert published.hits("/jwks") == 0


@pytest.mark.parametrize("body", [b'{"keys":[]}', b"{}", b"[]", b"<html>", b"x" * 70_000])
def test_a_key_set_without_keys_is_none(published: Published, body: bytes) -> None:
    """It does not replace one that has: whoever empties it by mistake stops nobody for a day."""
    keys = published.keys()
    first = patiently(keys.current)
    published.server.answers["/jwks"] = Answer(body)
    published.now.ahead = 400
    assert patiently(keys.current) is first
    published.now.ahead = 24 * 3600
    with pytest.raises(OutOfReach):
        patiently(keys.current)


@pytest.mark.parametrize(
    ("said", "fresh_for"),
    [
        ("public, max-age=600", 600),
        ("max-age=1", SHORTEST),
        ("max-age=999999", LONGEST),
        ("no-store", SHORTEST),
        ("no-cache, max-age=600", SHORTEST),
        ("max-age=x", 300),
        ("max-age=1, max-age=2", 300),
        ("private", 300),
    ],
)
def test_the_key_set_says_how_long_it_is_kept(
    published: Published, said: str, fresh_for: int
) -> None:
    """``Cache-Control`` counts, within bounds; nothing usable counts as five minutes."""
    published.publish({"Cache-Control": said})
    keys = published.keys()
    patiently(keys.current)
    published.now.ahead = fresh_for * 3 // 4 - 1
    patiently(keys.current)
    assert published.hits("/jwks") == 1
    published.now.ahead = fresh_for
    patiently(keys.current)
    assert published.hits("/jwks") == 2


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://as.test", "https://as.test/.well-known/x"),
        ("https://as.test/", "https://as.test/.well-known/x"),
        ("https://as.test/t/1", "https://as.test/.well-known/x/t/1"),
        ("https://as.test:8443/t/", "https://as.test:8443/.well-known/x/t"),
    ],
)
def test_the_well_known_place(issuer: str, expected: str) -> None:
    """RFC 8414 section 3.1: between host and path."""
    assert well_known(issuer, "x") == expected


def test_an_issuer_must_be_https() -> None:
    """Anybody on the way could bring keys of their own."""
    with pytest.raises(FetchRefused):
        metadata("http://localhost:1", over_https(None))
    with pytest.raises(FetchFailed):
        metadata("https://localhost:1", over_https(None))


def test_who_fetches_a_document_may_know_its_age(published: Published) -> None:
    """`RemoteDocuments.obtain` tells the ``max-age`` beside the body that `fetch` gives."""
    published.publish({"Cache-Control": "max-age=7"})
    documents = RemoteDocuments(allow_private=True, ca_file=published.server.ca_file)
    url = published.server.url("/jwks")
    fetched = asyncio.run(documents.obtain(url, Limits()))
    assert fetched.max_age == 7
    assert fetched.body == asyncio.run(documents.fetch(url))
