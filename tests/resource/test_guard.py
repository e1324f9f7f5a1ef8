"""`Guard` before a small application: who gets through, and what the others are told."""

import pytest

from app.resource import Decision, Guard, Verdict, current
from app.resource.asgi import App, Message, Receive, Send
from app.resource.testing import Caller, Certificate, Issuer

SCOPE = "files:read"


async def _tell(scope: Message, _receive: Receive, send: Send) -> None:
    accepted = current.get()
    assert accepted is scope["state"]["certbound.token"]
    assert accepted is not None
    body = accepted.client_id.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Desk:
    """An issuer, a guarded application, and what was decided."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.decisions: list[Decision] = []
        self.verifier = self.issuer.verifier(on_decision=self.decisions.append)
        self.app: App = Guard(_tell, self.verifier, scopes=[SCOPE], name="Files")
        self.bot = self.issuer.certificate()

    def caller(self, certificate: Certificate | None) -> Caller:
        """Somebody with this certificate."""
        return Caller(self.app, certificate)

    @property
    def last(self) -> Decision:
        """The latest decision."""
        return self.decisions[-1]


@pytest.fixture
def desk() -> Desk:
    """One per test."""
    return Desk()


def test_the_holder_gets_through(desk: Desk) -> None:
    """A genuine token with the certificate it is bound to reaches the application, which knows whose."""
    answer = desk.caller(desk.bot).get("/", desk.issuer.token(desk.bot, scope=SCOPE))
    assert (answer.status, answer.body) == (200, b"bot")
    assert desk.last.verdict is Verdict.HOLDER
    assert desk.last.thumbprint == desk.last.bound_to == desk.bot.thumbprint


def test_a_copied_token_is_worthless(desk: Desk) -> None:
    """With another certificate, or none, the same token is refused, although it was just accepted."""
    token = desk.issuer.token(desk.bot, scope=SCOPE)
    assert desk.caller(desk.bot).get("/", token).status == 200
    for certificate, verdict in (
        (desk.issuer.certificate("thief"), Verdict.OTHER_CERTIFICATE),
        (None, Verdict.NO_CERTIFICATE),
    ):
        answer = desk.caller(certificate).get("/", token)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert desk.last.verdict is verdict
        assert desk.last.client_id == "bot"
        assert desk.last.bound_to == desk.bot.thumbprint
