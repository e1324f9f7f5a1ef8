"""Who was first with a key, as the endpoint sees it while clients come and go on other nodes."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from app import clock
from app.admin import clients, trust
from app.admin.client_checks import Labels
from app.admin.client_wishes import Wishes
from app.admin.identity import by_subject
from app.tls.peer import PeerCertificate
from tests.kit import ca, placing
from tests.kit.asgi import Answer, Stage, settings_for


class Owner(NamedTuple):
    """A client to be, and the certificate it proves itself with."""

    client_id: str
    tenant: str
    peer: PeerCertificate

    def join(self, stage: Stage) -> None:
        """Be registered."""
        subject = by_subject("subject_dn", f"CN={self.client_id}")
        wishes = Wishes(trust_sets=("shared",), scopes=(), resources=())
        clients.add(stage.desk, self.client_id, subject, wishes, Labels(tenant=self.tenant))

    def leave(self, stage: Stage) -> None:
        """Be removed."""
        clients.remove(stage.desk, self.client_id)

    def ask(self, stage: Stage) -> Answer:
        """Ask for a token."""
        return stage.token(self.peer, client_id=self.client_id)

    def reason(self, stage: Stage) -> object:
        """Why it gets no token, for the audit; None: it gets one."""
        answer = self.ask(stage)
        if answer.status == 200:
            return None
        assert answer.status == 401
        return stage.explained(answer.json()["error_ref"])["reason"]


@pytest.fixture
def red(pair: tuple[Owner, Owner]) -> Owner:
    """A client of tenant red."""
    return pair[0]


@pytest.fixture
def blue(pair: tuple[Owner, Owner]) -> Owner:
    """A client of tenant blue, with the same key."""
    return pair[1]


@pytest.fixture
def pair(stage: Stage) -> tuple[Owner, Owner]:
    """Two clients of two tenants with one key, registered."""
    root, key = placing.root("CA of the shared key"), ca.key(label="the shared key")
    path = placing.pem(stage.settings.home / "shared.pem", root.certificate)
    trust.add(stage.desk, "shared", path)
    made = []
    for client_id, tenant in (("zoe", "red"), ("ann", "blue")):
        draft = ca.client_draft(ca.name(("CN", client_id)), key, clock.now())
        peer = PeerCertificate(root.sign(draft), (), "TLSv1.3", "TLS_AES_128_GCM_SHA256")
        made.append(Owner(client_id, tenant, peer))
        made[-1].join(stage)
    return made[0], made[1]


@pytest.fixture
def other(stage: Stage) -> Iterator[Stage]:
    """Another process on the same database."""
    with Stage(settings_for(stage.settings.home)) as opened:
        yield opened


def test_of_two_in_one_second_one_is_first(stage: Stage, red: Owner, blue: Owner) -> None:
    """Whoever asked first, not whose name is first; the other is refused, now and later."""
    for _ in range(2):
        assert red.reason(stage) is None
        assert blue.reason(stage) == "boundary_violation"


def test_clocks_that_differ_change_nothing(
    stage: Stage, other: Stage, red: Owner, blue: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node whose clock is behind does not put its client before one that came earlier."""
    assert red.reason(stage) is None
    real = clock.now
    with monkeypatch.context() as behind:
        behind.setattr(clock, "now", lambda: real() - 5)
        assert blue.reason(other) == "boundary_violation"
    for each in (stage, other):
        assert red.reason(each) is None
        assert blue.reason(each) == "boundary_violation"


def test_a_client_registered_anew_comes_last(
    stage: Stage, other: Stage, red: Owner, blue: Owner
) -> None:
    """Nobody remembers the claim of the removed one, though it all happens within a second."""
    for each in (stage, other):
        assert red.reason(each) is None
    red.leave(stage)
    assert blue.reason(other) is None
    red.join(stage)
    for each in (stage, other):
        assert red.reason(each) == "boundary_violation"
        assert blue.reason(each) is None


def test_removed_and_registered_between_two_requests(stage: Stage, red: Owner, blue: Owner) -> None:
    """A server that saw neither happen does not go by what was before."""
    assert red.reason(stage) is None
    red.leave(stage)
    red.join(stage)
    assert blue.reason(stage) is None
    assert red.reason(stage) == "boundary_violation"


def test_removed_while_it_asks(stage: Stage, red: Owner, blue: Owner) -> None:
    """What a server finds of a client it does not yet know to be gone, it does not remember."""
    stage.refresh()
    red.leave(stage)
    assert red.reason(stage) == "client_unknown"
    assert blue.reason(stage) is None
    red.join(stage)
    assert red.reason(stage) == "boundary_violation"
    assert blue.reason(stage) is None
