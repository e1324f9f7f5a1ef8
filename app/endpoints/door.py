"""The door every request passes: what endpoints may use, and how a refusal is recorded."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.audit import (
    CertificateEvidence,
    FindingRecord,
    RequestRefused,
    RequestsRefused,
    new_ref,
)
from app.clients.authentication import Credentials
from app.clients.key_holders import KeyHolders
from app.clients.methods import METHODS
from app.clients.registry import Registry
from app.counts import Counts, word
from app.endpoints import traced
from app.endpoints.gathering import Refusals
from app.endpoints.often import RequestLimits
from app.endpoints.sightings import Sightings
from app.errors import (
    Examination,
    Finding,
    OAuthError,
    Reason,
    ServerError,
    TemporarilyUnavailable,
)
from app.grants import GRANTS
from app.grants.request import Policy
from app.issuers import Issuer
from app.jose.fetch import RemoteKeys
from app.pki import check
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import OcspCache
from app.store import patience
from app.store.engine import StoreUnavailable
from app.store.journal import Journal
from app.store.lookup import Lookups
from app.store.registry import Snapshots
from app.store.trust import TrustSetRow
from app.telemetry import log
from app.tls.admission import source_of
from app.tls.peer import PeerCertificate
from app.tokens.forward import Forwarded
from app.tokens.genuine import OwnTokens
from app.tokens.introspect import Presented
from app.tokens.issue import Issuance
from app.tokens.published import PublishedLists
from app.tokens.revoke import TokenRevocation
from app.tokens.status import StatusLists
from app.traces import Traces
from app.unsaid import without_secrets
from app.web.errors import render
from app.web.respond import Document

MAX_RECORDED = 500
"""Characters of anything a stranger sent that one audit member may hold."""
MAX_CLIENT_ID = 255
"""Of a claimed client_id: as long as a registered one may be, too short for a token pasted there."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal about to be recorded; it has no token."""

    error: OAuthError
    event: RequestRefused
    token: None = None
    use: None = None
    status_list: None = None
    revokes: None = None


Decision = Issuance | Refusal | Presented | TokenRevocation | Forwarded


@dataclass(slots=True)
class Lifecycle:
    """Where the process stands; `ready` turns false before the listeners close."""

    ready: bool = False
    store_answers: bool = True
    """Whether the last look at the database, at most some seconds ago, found it answering."""
    others_ready: bool = True
    """Whether the other workers of this server are ready too."""

    @property
    def able(self) -> bool:
        """Whether this process can issue tokens."""
        return self.ready and self.store_answers


@dataclass(frozen=True, slots=True)
class Door:
    """What an endpoint may use. One per process; nothing in it is global."""

    issuer: Issuer
    policy: Policy
    snapshots: Snapshots[Registry]
    status_lists: StatusLists
    published_lists: PublishedLists
    journal: Journal[Registry, Decision]
    remote_keys: RemoteKeys
    lookups: Lookups[Registry]
    own_tokens: OwnTokens
    key_holders: KeyHolders
    revocation: Revocation
    ocsp: OcspCache
    routes: tuple["Route", ...]
    """The table of endpoints, from which the metadata document is computed."""
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    refusals: Refusals = field(default_factory=Refusals)
    sightings: Sightings = field(default_factory=Sightings)
    counts: Counts = field(default_factory=Counts)
    limits: RequestLimits = field(default_factory=RequestLimits)
    traces: Traces | None = None
    documents: dict[str, tuple[Registry, Document]] = field(default_factory=dict)
    """Of `document`."""

    async def settle(
        self, path: str, decide: Callable[[Registry], Decision], grant: str | None = None
    ) -> Decision:
        """As `Refusals.settle`, counted. `grant` as the client wrote it."""
        decision = await self.refusals.settle(self.journal, self.lookups, decide)
        event = decision.event
        method, known = word(getattr(event, "method", None), METHODS), word(grant, GRANTS)
        self.counts.decision(path, method, known, event.decision, event.reason or "")
        if self.traces is not None:
            self.traces.note(traced.of(event, method, known))
        return decision

    def document(self, name: str, make: "Callable[[Door, Registry], Document]") -> Document:
        """What `make` says of the registry as of now: made once for each snapshot of it."""
        registry = self.snapshots.current
        known = self.documents.get(name)
        if known is None or known[0] is not registry:
            known = self.documents[name] = registry, make(self, registry)
        return known[1]

    def bundle_rows(self) -> Sequence[TrustSetRow]:
        """The trust sets that follow a SPIFFE bundle, as of now."""
        return self.snapshots.current.bundle_rows()


Handler = Callable[[Door, Request], Awaitable[Response]]
"""An endpoint: it answers, or raises an `OAuthError` that the door records and renders."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: where it stands and how the metadata document names it."""

    path: str
    """With ``{name}`` for a segment that the handler finds in `path_params`."""
    methods: tuple[str, ...]
    handler: Handler
    metadata: str | None = None
    """The RFC 8414 member that names it; None keeps it out of the document."""
    mtls_alias: bool = False
    """Whether `mtls_endpoint_aliases` names it too (RFC 8705 section 5)."""
    at_root: bool = False
    """Whether it ignores the issuer's path."""
    by_address: bool = True
    """Whether refusals count against their address; a proxy's are those of its clients."""


def credentials(request: Request, client_id: str) -> Credentials:
    """What this connection and request present for client authentication, unjudged."""
    state = request.scope["state"]
    return Credentials(client_id, state["certbound.peer"], state.get("certbound.peer_error"))


def endpoint(door: Door, route: Route) -> Callable[[Request], Awaitable[Response]]:
    """`route` as the framework calls it: every error leaves through here, and never as a stack."""
    name = route.path or "metadata"

    async def answer(request: Request) -> Response:
        patience.begin()
        response = await answered(request)
        door.counts.request(name, response.status_code)
        return response

    async def answered(request: Request) -> Response:
        try:
            try:
                return await route.handler(door, request)
            except OAuthError as error:
                told = error
                if route.by_address:
                    told = door.limits.too_often(source_of(request.client), error)
                refusal = refused(route.path, told, Examination(), _presented(request))
                settled = await door.settle(route.path, lambda _registry: refusal)
                return answer_refusal(settled)
        except StoreUnavailable as error:
            log().error("store.unavailable", endpoint=route.path, cause=repr(error))
            return render(TemporarilyUnavailable())
        except Exception as error:  # noqa: BLE001 - the last resort: a person reads the log
            return await _unexpected(door, route, error)

    return answer if door.traces is None else traced.traced(door.traces, name, answer)


async def _unexpected(door: Door, route: Route, cause: Exception) -> Response:
    """The answer to our own mistake. Its entry is written if that is still possible."""
    finding = Finding(
        "server",
        f"an unexpected condition at {clock.iso(clock.now())}",
        action="Search the server's log for this reference.",
        reason=Reason.UNAVAILABLE,
    )
    refusal: Decision = refused(route.path, ServerError(finding), Examination(), None)
    try:
        refusal = await door.settle(route.path, lambda _registry: refusal)
    except Exception as error:  # noqa: BLE001 - the log has it; the client still gets its answer
        log().error("audit.missed", ref=refusal.event.ref, cause=repr(error))
    log().exception("request.failed", endpoint=route.path, ref=refusal.event.ref, exc_info=cause)
    return answer_refusal(refusal)


def answer_refusal(refusal: Decision) -> Response:
    """The answer to a recorded refusal. Of many alike no log line is written either.

    Raises:
        TypeError: it is no refusal.

    """
    if not isinstance(refusal, Refusal):
        raise TypeError(refusal)
    event = refusal.event
    say = log().debug if isinstance(event, RequestsRefused) else log().info
    say(
        "request.refused",
        endpoint=event.endpoint,
        error=event.error,
        reason=event.reason,
        ref=event.ref,
    )
    return render(refusal.error, ref=event.ref)


def refused(
    path: str,
    error: OAuthError,
    exam: Examination,
    presented: Credentials | None,
    method: str | None = None,
) -> Refusal:
    """A refusal with its audit entry; what was seen goes there, cut to `MAX_RECORDED`."""
    findings = exam.findings or [error.finding]
    if error.finding not in findings:
        findings = [*findings, error.finding]
    named = presented.unverified_client_id if presented else ""
    client_id = without_secrets(named[:MAX_CLIENT_ID])[:MAX_CLIENT_ID]
    event = RequestRefused(
        decision="refused",
        reason=error.finding.reason.value if error.finding.reason else None,
        ref=new_ref(),
        client_id=client_id or None,
        certificate=_evidence(presented.peer) if presented and presented.peer else None,
        endpoint=path,
        error=error.error,
        status=error.status,
        method=method,
        findings=tuple(_record(f) for f in findings),
    )
    return Refusal(error, event)


def _record(finding: Finding) -> FindingRecord:
    return FindingRecord(
        check=finding.check,
        seen=without_secrets(finding.seen[:MAX_RECORDED]),
        expected=finding.expected[:MAX_RECORDED],
        action=finding.action[:MAX_RECORDED],
        reason=finding.reason.value if finding.reason else None,
    )


def _evidence(peer: PeerCertificate) -> CertificateEvidence:
    return evidence_of(
        peer.der,
        thumbprint=peer.thumbprint,
        tls_version=peer.tls_version,
        cipher=peer.cipher,
        termination=peer.termination,
    )


def evidence_of(
    der: bytes,
    *,
    thumbprint: str,
    termination: str,
    tls_version: str | None = None,
    cipher: str | None = None,
) -> CertificateEvidence:
    """A certificate nobody judged, as the audit names it: by its thumbprint alone if unreadable."""
    known = CertificateEvidence(
        thumbprint=thumbprint, tls_version=tls_version, cipher=cipher, termination=termination
    )
    try:
        facts = check.describe(der)
    except ValueError:
        return known
    return replace(
        known,
        subject=facts.subject[:MAX_RECORDED],
        issuer=facts.issuer[:MAX_RECORDED],
        serial=facts.serial[:MAX_RECORDED],
        not_after=facts.not_after,
    )


def _presented(request: Request) -> Credentials:
    return credentials(request, "")
