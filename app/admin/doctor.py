"""What would the token endpoint say to this certificate? The same checks, all of them, offline.

Guarantees the endpoint's verdict as of now: `authenticate` and the grant run here as they run
there, on the same registry; only the proof of possession is taken for granted. Nothing is recorded.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app import clock
from app.admin.desk import Desk
from app.admin.keys import unsealed
from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.methods.self_signed_tls_client_auth import is_published
from app.clients.registry import Registry
from app.errors import Examination, Finding, InvalidClient, OAuthError, Refused, UnauthorizedClient
from app.grants import GRANTS, client_credentials
from app.grants.request import GrantRequest, Policy
from app.jose.fetch import RemoteKeys
from app.keys.ring import KeyRing
from app.keys.seal import SealingError, SealingKey
from app.pki import check, names
from app.store import registry as store_registry
from app.store.credentials import CredentialRow
from app.tls.limits import Limits
from app.tls.peer import PeerCertificate


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every check for one client, and the answer on the wire."""

    client_id: str
    findings: tuple[Finding, ...]
    refusal: OAuthError | None
    """None: a token. Its finding is the one that the endpoint would have stopped at."""
    fetch_problem: str | None = None
    """Why the client's `jwks_uri` could not be fetched just now."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status if self.refusal else 200

    @property
    def steps_passed(self) -> int:
        """How far the endpoint would have come: for ranking near misses."""
        passed = [finding.passed for finding in self.findings]
        return passed.index(False) if False in passed else len(passed)


@dataclass(frozen=True, slots=True)
class Examiner:
    """One certificate (with what would be sent beside it) and the registry to judge it by."""

    registry: Registry
    policy: Policy
    chain: Sequence[bytes]
    remote: RemoteKeys
    now: int

    def diagnose(self, client_id: str) -> Diagnosis:
        """The checks and the answer for one client, registered or not."""
        exam = Examination(thorough=True)
        refusal = self._answer(exam, client_id)
        return Diagnosis(client_id, tuple(exam.findings), refusal, self._fetch_problem(client_id))

    def _answer(self, exam: Examination, client_id: str) -> OAuthError | None:
        try:
            asking = authenticate(
                exam,
                self.registry,
                self._credentials(client_id),
                self.remote.keys_for,
                self.now,
            )
        except Refused:
            self._look_at_name(exam, client_id)
        else:
            if exam.first_failure is None:
                return self._request(exam, asking)
        return InvalidClient(exam.first_failure)

    def _fetch_problem(self, client_id: str) -> str | None:
        client = self.registry.client(client_id)
        if client is None or client.jwks_uri is None:
            return None
        return self.remote.status(client.jwks_uri).problem

    def _credentials(self, client_id: str) -> Credentials:
        limits = Limits()
        if (
            len(self.chain) > limits.max_chain_certificates
            or sum(map(len, self.chain)) > limits.max_chain_bytes
        ):
            return Credentials(client_id, None, "certificate_malformed")
        leaf, *others = self.chain
        return Credentials(client_id, PeerCertificate(leaf, tuple(others), "", ""))

    def _look_at_name(self, exam: Examination, client_id: str) -> None:
        """The name, where the endpoint stopped before it: one look shall show every problem."""
        client = self.registry.client(client_id)
        if client is None or client.subject is None:
            return
        if any(finding.check == "name" for finding in exam.findings):
            return
        try:
            facts = check.describe(self.chain[0])
        except ValueError:
            return
        names.examine_name(exam, facts.names, client.subject)

    def _request(self, exam: Examination, asking: AuthenticatedClient) -> OAuthError | None:
        """The plainest token request: no scope, no resource."""
        grant = client_credentials.GRANT_TYPE
        try:
            if grant not in asking.client.grant_types:
                raise UnauthorizedClient
            issue = GRANTS[grant].grant(GrantRequest(asking, {}, self.registry, self.policy))
        except OAuthError as refusal:
            exam.findings.append(refusal.finding)
            return refusal
        scope = " ".join(issue.scope) or "no scope"
        exam.note(Finding("request", f"{grant} for {issue.resource}, {scope}"))
        return None


def examiner(
    desk: Desk,
    chain: Sequence[bytes],
    client_ids: Iterable[str] | None,
    *,
    registered: CredentialRow | None = None,
    at: int | None = None,
) -> Examiner:
    """An examiner as of `at`, or now. Key sets of clients with a `jwks_uri` are fetched first.

    `client_ids` are those that will be asked about; None: any. With `registered` the answers are
    as if this credential were registered too.

    Raises:
        Problem: the signing keys cannot be unsealed, which no server could do either.

    """
    settings = desk.settings
    with desk.db.read() as conn:
        rows = store_registry.load(conn)
    try:
        ring = KeyRing.from_rows(rows.signing_keys, SealingKey.load(settings))
    except SealingError as error:
        raise unsealed(error) from error
    if registered is not None:
        rows = replace(rows, credentials=(*rows.credentials, registered))
    registry = Registry(rows, ring)
    wanted = registry.client_ids() if client_ids is None else client_ids
    return Examiner(
        registry,
        Policy(settings.access_token_lifetime, settings.default_resource),
        chain,
        asyncio.run(_fetched(desk, registry, wanted, chain)),
        clock.now() if at is None else at,
    )


def search(examiner: Examiner) -> list[Diagnosis]:
    """One diagnosis per enabled client, those that came furthest first."""
    found = [
        examiner.diagnose(client_id)
        for client_id in examiner.registry.client_ids()
        if (client := examiner.registry.client(client_id)) is not None and not client.disabled
    ]
    return sorted(found, key=lambda one: (one.status != 200, -one.steps_passed))  # noqa: PLR2004 - OK


async def _fetched(
    desk: Desk, registry: Registry, client_ids: Iterable[str], chain: Sequence[bytes]
) -> RemoteKeys:
    settings = desk.settings
    remote = RemoteKeys(
        allow_private=settings.jwks_uri_allow_private, ca_file=settings.jwks_uri_ca_file
    )
    peer = PeerCertificate(chain[0], (), "", "")
    uris = {
        client.jwks_uri
        for client_id in client_ids
        if (client := registry.client(client_id)) is not None and client.jwks_uri is not None
    }
    await asyncio.gather(
        *(remote.ensure(uri, lambda keys: is_published(keys, peer)) for uri in sorted(uris))
    )
    await remote.close()
    return remote
