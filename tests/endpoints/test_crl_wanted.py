"""A CRL that takes long: from the moment it is stored no token rests on the one before."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from app import clock
from app.admin import crl_file, trust, trust_policy
from app.admin.identity import by_subject
from app.admin.trust_policy import Policy
from app.clients.authentication import Credentials
from app.endpoints import wanted
from app.endpoints.door import Door
from app.pki.crl_store import AT_ONCE
from app.tls.peer import PeerCertificate
from tests.kit import ca, crls, placing
from tests.kit.asgi import Stage
from tests.kit.crls import draft, entry, serial_of
from tests.kit.patience import PATIENCE

LONG = crls.many(AT_ONCE + 1, clock.now())[0]


@dataclass
class Held:
    """A client of a set of its own, and a gate before the lists in the database."""

    stage: Stage
    peer: PeerCertificate
    authority: ca.Authority
    gate: threading.Event = field(default_factory=threading.Event)
    reads: int = 0

    def load(self, count: int, *revoked: int) -> None:
        """Load a long list that revokes these."""
        now = clock.now()
        entries = LONG + b"".join(entry(each, now) for each in revoked)
        path = self.stage.settings.home / "list.crl"
        path.write_bytes(crls.sign(draft(now, count=count).with_(entries=entries), self.authority))
        crl_file.load(self.stage.desk, "held", path)

    def policy(self, *, soft: bool = False) -> None:
        """Have the lists asked."""
        policy = Policy("crl", "soft" if soft else "hard", 0, ())
        trust_policy.set_policy(self.stage.desk, "held", policy)

    def reason(self) -> object:
        """Why the client gets no token, for the audit; None: it gets one."""
        answer = self.stage.token(self.peer, client_id="held")
        if answer.status == 200:
            return None
        return self.stage.explained(answer.json()["error_ref"])["reason"]


@pytest.fixture
def held(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The client, its set judged by CRLs, the gate open."""
    authority, key = placing.root("CA that is held"), ca.key(label="held client")
    path = placing.pem(stage.settings.home / "held.pem", authority.certificate)
    trust.add(stage.desk, "held", path)
    client = ca.client_draft(ca.name(("CN", "held")), key, clock.now())
    peer = PeerCertificate(authority.sign(client), (), "TLSv1.3", "TLS_AES_128_GCM_SHA256")
    stage.register("held", by_subject("subject_dn", "CN=held"), trust_sets=("held",))
    made = Held(stage, peer, authority)
    monkeypatch.setattr(wanted, "CRL_WAIT", PATIENCE)
    made.gate.set()
    revocation = stage.house.door.revocation
    read = revocation._read

    def gated(digest: str) -> bytes | None:
        made.reads += 1
        made.gate.wait(2 * PATIENCE)
        return read(digest)

    monkeypatch.setattr(revocation, "_read", gated)
    yield made
    made.gate.set()


@pytest.mark.parametrize("soft", [False, True])
def test_nobody_is_let_in_by_the_list_before(
    held: Held, monkeypatch: pytest.MonkeyPatch, *, soft: bool
) -> None:
    """While the new one is not there the client waits, and is refused in the end, softly too."""
    held.policy(soft=soft)
    held.load(1)
    assert held.reason() is None
    monkeypatch.setattr(wanted, "CRL_WAIT", 0.05)
    held.gate.clear()
    held.load(2, serial_of(held.peer.der))
    for _ in range(2):
        assert held.reason() == "revocation_unknown"
    assert held.stage.token(held.stage.bot).status == 200, "another set waits for nothing"
    held.gate.set()
    monkeypatch.setattr(wanted, "CRL_WAIT", PATIENCE)
    assert held.reason() == "revoked"
    held.load(3)
    assert held.reason() is None
    assert held.reads == 3, "each list is parsed once"


def test_who_waits_is_decided_by_the_new_list(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request, one record: nothing of the decision that was not taken is kept."""
    held.policy()
    held.load(1)
    assert held.reason() is None
    held.gate.clear()
    held.load(2, serial_of(held.peer.der))
    before, fetched = held.stage.entries(1000), []
    fetch = wanted.CrlWanted.fetch

    async def opening(self: wanted.CrlWanted, door: Door, presented: Credentials) -> None:
        fetched.append(held.gate.is_set())
        held.gate.set()
        await fetch(self, door, presented)

    monkeypatch.setattr(wanted.CrlWanted, "fetch", opening)
    assert held.reason() == "revoked"
    assert fetched == [False], "it began to wait while the list was not there"
    assert len(held.stage.entries(1000)) == len(before) + 1


def test_a_stranger_to_the_set_waits_for_no_list(held: Held) -> None:
    """Without a path to its anchors there is nothing to ask about, and nothing to wait for."""
    held.policy()
    held.gate.clear()
    held.load(1)
    answer = held.stage.token(held.stage.bot, client_id="held")
    assert held.stage.explained(answer.json()["error_ref"])["reason"] == "issuer_unknown"
    assert not held.gate.is_set()
