"""An audit trail with checkpoints on a database of the test's own, without a server."""

from dataclasses import dataclass, field
from pathlib import Path

from app import clock
from app.admin import audit_verify
from app.admin.audit_verify import Verdict
from app.admin.desk import Desk
from app.audit import CertificateEvidence, ClientAdded, Event, RequestRefused, new_ref
from app.keys.checkpoint import Checkpoint
from app.keys.rotate import ensure_keys
from app.keys.seal import SealingKey, make_sealing_key
from app.keys.sign_off import SignOff
from app.store import audit
from app.store.audit import Chain
from app.store.checkpoints import Kind
from app.store.engine import Database
from tests.kit.asgi import settings_for


def refusal(client_id: str = "bot", **members: object) -> RequestRefused:
    """One refused request, as servers record it."""
    plain: dict[str, object] = {
        "decision": "refused",
        "reason": "expired",
        "ref": new_ref(),
        "client_id": client_id,
        "certificate": CertificateEvidence(thumbprint="thumb", serial="0a1b"),
        "endpoint": "/token",
        "error": "invalid_client",
        "status": 401,
    }
    return RequestRefused(**{**plain, **members})  # type: ignore[arg-type] # members by name


@dataclass
class Trail:
    """Streams to append to and to sign off."""

    db: Database
    desk: Desk
    sealing_key: SealingKey
    chains: dict[str, Chain] = field(default_factory=dict)
    now: int = field(default_factory=clock.now)

    def append(self, writer: str, *events: Event) -> None:
        """As a journal does."""
        chain = self.chains.get(writer) or Chain(writer)
        with self.db.begin() as conn:
            made = [audit.entry(event) for event in events]
            self.chains[writer] = audit.append(conn, chain, made)

    def act(self, client_id: str) -> None:
        """As an operator does."""
        with self.db.begin() as conn:
            audit.append_admin(conn, ClientAdded(actor="root", client_id=client_id))

    def signer(self) -> SignOff:
        """A process that has seen nothing yet."""
        return SignOff(self.db, self.sealing_key, self.desk.settings.issuer, "server")

    def sign(self, *, kind: Kind = "heads") -> Checkpoint:
        """A checkpoint, a minute after the one before."""
        self.now += 60
        made = self.signer().write(self.now, kind=kind)
        assert made is not None
        return made

    def verify(self, since: Checkpoint | None = None) -> Verdict:
        """What an operator finds."""
        return audit_verify.verify(self.desk, since)

    def faults(self, since: Checkpoint | None = None) -> list[tuple[str, str, int, int]]:
        """What is wrong and where."""
        return [(f.what, f.writer, f.seq, f.last) for f in self.verify(since).faults]


def laid(db: Database, home: Path) -> Trail:
    """Signing keys and an empty trail."""
    settings = settings_for(home, database_url=db.url.render_as_string(hide_password=False))
    (home / "certs").mkdir(parents=True, exist_ok=True)
    sealing_key = make_sealing_key(settings.sealing_key_file)
    ensure_keys(db, sealing_key, "ES256", clock.now(), actor="server")
    return Trail(db, Desk(db, settings, "tester"), sealing_key)


def grown(db: Database, home: Path) -> Trail:
    """Streams ``admin``, ``a`` and ``b`` of some entries, three checkpoints, and some not signed."""
    trail = laid(db, home)
    trail.sign()
    for _ in range(2):
        trail.append("a", *(refusal(f"client-{number}") for number in range(5)))
        trail.append("b", refusal(), refusal())
        trail.act("one")
        trail.sign()
    trail.append("a", refusal(), refusal())
    return trail
