"""Two SPIFFE trust domains and a plain CA in a real registry, and clients that come from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from app import clock
from app.clients.authentication import Credentials, authenticate
from app.clients.registry import Registry
from app.errors import Examination, Finding, Reason, Refused
from app.pki.names import register
from app.store import clients, registry, trust
from app.store.clients import ClientRow
from app.store.trust import BundleRow, TrustAnchorRow
from app.tls.peer import thumbprint
from tests.kit import ca
from tests.kit.asgi import Stage
from tests.kit.ca import Authority, client_draft, name, san
from tests.pki.judging import peer

NOBODY = b"\x30\x00"


@dataclass(frozen=True)
class Federation:
    """A stage with CAs; `trust` and `client` change its registry, `ask` authenticates."""

    stage: Stage
    now: int = field(default_factory=clock.now)

    def authority(self, label: str) -> Authority:
        """A root of its own name and key, the same for the same label."""
        return _root(label, self.now)

    def svid(self, label: str, *uris: str, more: Sequence[ca.Extension] = (), **sans: Any) -> bytes:
        """A leaf by the root `label` with these URIs, other SANs, and changed extensions."""
        names = san(uri=uris, critical=True, **sans)
        draft = client_draft(NOBODY, ca.key(label="workload"), self.now, names)
        return self.authority(label).sign(draft.plus(*more))

    def anchor(self, label: str) -> TrustAnchorRow:
        """The root `label` as a member of a set."""
        der = self.authority(label).certificate
        return TrustAnchorRow(
            thumbprint=thumbprint(der),
            der=der,
            role="anchor",
            subject=f"O={label}",
            not_after=self.now + 86400,
            added_at=self.now,
        )

    def trust(
        self,
        set_name: str,
        *labels: str,
        domain: str | None = None,
        permitted: dict[str, list[str]] | None = None,
        bundle: BundleRow | None = None,
    ) -> None:
        """A trust set over the roots `labels`."""
        with registry.change(self.stage.house.database) as conn:
            trust.add_set(conn, set_name, "", self.now)
            for label in labels:
                trust.add_anchor(conn, set_name, self.anchor(label))
            trust.set_trust_domain(conn, set_name, domain, self.now)
            trust.permit(conn, set_name, permitted or {}, self.now)
            trust.follow_bundle(conn, set_name, bundle, self.now)

    def client(
        self, *trust_sets: str, spiffe_id: str | None = None, subject: tuple[str, str] | None = None
    ) -> None:
        """The client ``agent``."""
        match = None if subject is None else register(*subject)
        row = ClientRow(
            client_id="agent",
            auth_method="tls_client_auth",
            created_at=self.now,
            updated_at=self.now,
            subject_attribute=None if match is None else match.attribute,
            subject_value=None if match is None else match.value,
            grants=("client_credentials",),
            trust_sets=trust_sets,
            spiffe_id=spiffe_id,
        )
        with registry.change(self.stage.house.database) as conn:
            clients.remove(conn, "agent")
            assert clients.add(conn, row)

    def snapshot(self) -> Registry:
        """The registry as the server sees it now."""
        self.stage.refresh()
        return self.stage.house.door.snapshots.current

    def ask(
        self, *chain: bytes, thorough: bool = False, later: int = 0
    ) -> tuple[str | Reason | None, list[Finding]]:
        """The trust set that let ``agent`` in, or the reason it was refused; and the findings."""
        exam = Examination(thorough=thorough)
        presented = Credentials("agent", peer(*chain))
        try:
            found = authenticate(
                exam, self.snapshot(), presented, lambda _uri, _now: None, self.now + later
            )
        except Refused:
            failure = exam.first_failure
            return None if failure is None else failure.reason, exam.findings
        return found.certificate.trust_set, exam.findings


@cache
def _root(label: str, now: int) -> Authority:
    return ca.root(name(("O", label)), ca.key(label=f"federation-{label}"), now)
