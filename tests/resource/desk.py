"""A resource under test: an issuer in memory, a guarded application, and what was decided."""

from dataclasses import dataclass, field
from typing import Any

from app import clock
from app.resource import Decision, Guard, Verifier, current
from app.resource.asgi import App, Message, Receive, Send
from app.resource.testing import Caller, Certificate, Issuer, Response

SCOPE = "files:read"


@dataclass
class Clock:
    """Stands where a test puts it, in seconds from the moment when it was made."""

    ahead: int = 0
    made_at: int = field(default_factory=clock.now)

    def __call__(self) -> int:
        """Seconds since the epoch."""
        return self.made_at + self.ahead


async def tell(scope: Message, receive: Receive, send: Send) -> None:
    """The application: says whom it let in."""
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    accepted = current.get()
    assert accepted is not None
    assert scope["state"]["certbound.token"] is accepted
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": accepted.client_id.encode()})


@dataclass
class Desk:
    """One per test. `options` are the verifier's."""

    options: dict[str, Any] = field(default_factory=dict)
    issuer: Issuer = field(default_factory=Issuer)
    decisions: list[Decision] = field(default_factory=list)
    now: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.verifier: Verifier = self.issuer.verifier(
            **{"on_decision": self.decisions.append, "now": self.now, **self.options}
        )
        self.app: App = Guard(tell, self.verifier, scopes=[SCOPE], name="Files")
        self.bot = self.issuer.certificate()
        self.thief = self.issuer.certificate("thief")

    def token(self, certificate: Certificate | None = None, **claims: Any) -> str:
        """A token with the scope needed, for ``bot`` where nobody else is named."""
        return self.issuer.token(certificate or self.bot, **{"scope": SCOPE, **claims})

    def ask(self, token: str | None, certificate: Certificate | None = None) -> Response:
        """``GET /`` with the certificate of ``bot`` where no other is named."""
        return Caller(self.app, certificate or self.bot).get("/", token)

    def ask_bare(self, token: str | None) -> Response:
        """``GET /`` without a certificate."""
        return Caller(self.app).get("/", token)

    @property
    def last(self) -> Decision:
        """The latest decision."""
        return self.decisions[-1]
