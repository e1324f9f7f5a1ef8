"""Clients that publish their own keys: what a token request sees of it. Nothing is fetched here."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry

from app import clock
from app.admin import clients
from app.admin.authority import Request
from app.admin.identity import by_jwks_uri
from app.jose.document import FetchFailed
from app.tls.peer import PeerCertificate
from tests.kit.asgi import Stage

URI = "https://keys.example/jwks"


@dataclass
class Publisher:
    """Stands for the client's web server."""

    stage: Stage
    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    async def fetch(self, uri: str) -> bytes:
        """What the network would bring."""
        self.asked.append(uri)
        if self.down:
            raise FetchFailed("no connection")
        return json.dumps({"keys": self.keys}).encode()

    def publish(self, name: str, peer: PeerCertificate) -> None:
        """Add the certificate ``certs/<name>.crt``."""
        pem = (self.stage.settings.home / "certs" / f"{name}.key").read_bytes()
        public = dict(JWKRegistry.import_key(pem, "EC").as_dict(private=False))
        self.keys.append(public | {"kid": name, "x5c": [base64.b64encode(peer.der).decode()]})


@pytest.fixture
def publisher(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """The web server of the client ``remote``, which is registered by its jwks_uri."""
    found = Publisher(stage)
    monkeypatch.setattr(stage.house.door.remote_keys, "_fetch", found.fetch)
    stage.register("remote", by_jwks_uri(URI))
    return found


def certificate(stage: Stage, name: str) -> PeerCertificate:
    """A new self-signed one."""
    return stage.issue(name, Request(dn=f"CN={name}", self_signed=True))


def test_the_first_request_after_registration(stage: Stage, publisher: Publisher) -> None:
    """A client added a moment ago gets its token at once: its keys are fetched before deciding."""
    peer = certificate(stage, "one")
    publisher.publish("one", peer)
    answer = stage.token(peer, client_id="remote")
    assert stage.claims(answer)["cnf"] == {"x5t#S256": peer.thumbprint}
    assert publisher.asked == [URI]


def test_a_known_certificate_needs_no_fetch(stage: Stage, publisher: Publisher) -> None:
    """One fetch serves many requests."""
    peer = certificate(stage, "one")
    publisher.publish("one", peer)
    assert [stage.token(peer, client_id="remote").status for _ in range(3)] == [200] * 3
    assert publisher.asked == [URI]


def test_an_unknown_certificate_causes_one_fetch_a_minute(
    stage: Stage, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that published a new certificate gets in with it; a stranger causes no flood."""
    first, second = certificate(stage, "one"), certificate(stage, "two")
    publisher.publish("one", first)
    now = clock.now()
    remote_keys = stage.house.door.remote_keys
    monkeypatch.setattr(remote_keys, "_now", lambda: now)
    assert stage.token(first, client_id="remote").status == 200
    publisher.publish("two", second)
    assert [stage.token(second, client_id="remote").status for _ in range(3)] == [401] * 3
    assert len(publisher.asked) == 1
    monkeypatch.setattr(remote_keys, "_now", lambda: now + 61)
    assert stage.token(second, client_id="remote").status == 200
    assert len(publisher.asked) == 2


def test_a_url_that_is_down(stage: Stage, publisher: Publisher) -> None:
    """Never fetched: refused like any other; others are served; fetched once: the copy counts."""
    peer = certificate(stage, "one")
    publisher.down = True
    answer = stage.token(peer, client_id="remote")
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    entry = stage.explained(answer.json()["error_ref"])
    assert URI in entry["findings"][-1]["seen"]
    assert stage.token(stage.bot).status == 200


def test_who_causes_no_fetch(stage: Stage, publisher: Publisher) -> None:
    """No certificate, a password beside it, another client, a disabled one: nothing is fetched."""
    peer = certificate(stage, "one")
    stage.token(None, client_id="remote")
    stage.token(peer, client_id="remote", client_secret="x")  # noqa: S106 - nobody's
    stage.token(peer, client_id="bot")
    stage.token(peer, client_id="unknown")
    stage.refresh()
    clients.disable(stage.desk, "remote")
    stage.refresh()
    stage.token(peer, client_id="remote")
    assert publisher.asked == []
