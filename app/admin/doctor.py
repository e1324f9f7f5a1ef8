"""What would the token endpoint say to this certificate? The same checks, all of them, offline.

Guarantees the endpoint's verdict as of now: `authenticate` and the grant run here as they run
there, on the same registry; only the proof of possession is taken for granted. Nothing is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from app import clock
from app.admin.desk import Desk
from app.admin.diagnosis import Diagnosis
from app.admin.doctor_sources import Gathering, Sources
from app.admin.keys import unsealed
from app.admin.life_cycle import states
from app.admin.weakest_set import Weakest, weakest
from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.boundary import examine_holders, examine_resource
from app.clients.model import Client
from app.clients.registry import Registry
from app.errors import (
    Examination,
    Finding,
    InvalidClient,
    OAuthError,
    Reason,
    Refused,
    UnauthorizedClient,
)
from app.grants import GRANTS, client_credentials
from app.grants.request import GrantRequest, Policy
from app.grants.resource_rules import examine_rules
from app.jose.fetch import RemoteKeys
from app.keys.ring import KeyRing
from app.keys.seal import SealingError, SealingKey
from app.pki import check, names
from app.pki.anchors import TrustSet
from app.store import registry as store_registry
from app.store.credentials import CredentialRow
from app.tls.limits import Limits
from app.tls.peer import PeerCertificate


@dataclass(frozen=True, slots=True)
class Examiner:
    """One certificate (with what would be sent beside it) and the registry to judge it by."""

    registry: Registry
    policy: Policy
    chain: Sequence[bytes]
    sources: Sources
    now: int
    trust_names: Sequence[str] = ()
    """Every trust set there is."""

    resource: str | None = None
    """What a token would be asked for; None: the default resource."""
    states: Mapping[str, str] = field(default_factory=dict)
    """By client: where this certificate stands with it, in words."""

    @property
    def remote(self) -> RemoteKeys:
        """The key sets that were fetched."""
        return self.sources.remote

    def diagnose(self, client_id: str) -> Diagnosis:
        """The checks and the answer for one client, registered or not."""
        exam = Examination(thorough=True)
        refusal = self._answer(exam, client_id)
        client = self.registry.client(client_id)
        findings = tuple(self._pinned_elsewhere(finding, client) for finding in exam.findings)
        if findings != tuple(exam.findings):  # one command mends both
            findings = tuple(
                replace(one, action="") if one.check == "name" else one for one in findings
            )
        problem = self._fetch_problem(client_id)
        known = self._has_its_key(client)
        return Diagnosis(
            client_id, findings, refusal, problem, client, known, self._weakest(client)
        )

    def certificate(self) -> tuple[list[Finding], str | None]:
        """The certificate's own checks, whosever it is, and the trust set that vouches for it."""
        exam = Examination(thorough=True)
        peer = PeerCertificate(self.chain[0], tuple(self.chain[1:]), "", "")
        found = None
        with suppress(Refused):
            found = check.by_path(exam, peer, self._trust_sets(self.trust_names), self.now)
        return exam.findings, found.trust_set if found else None

    def is_self_signed(self) -> bool:
        """Whether it says so of itself, and is no CA's."""
        try:
            facts = check.describe(self.chain[0])
        except ValueError:
            return False
        return facts.self_issued and not facts.is_ca

    def _weakest(self, client: Client | None) -> Weakest | None:
        names = () if client is None else client.trust_sets
        rows = [self.registry.trust_row(name) for name in names]
        return weakest(row for row in rows if row is not None)

    def _trust_sets(self, names: Sequence[str]) -> list[TrustSet]:
        found = []
        for name in names:
            with suppress(ValueError):  # `config check` tells of a set that cannot be read
                trust_set = self.registry.trust_set(name)
                if trust_set is not None:
                    found.append(trust_set)
        return found

    def _pinned_elsewhere(self, finding: Finding, client: Client | None) -> Finding:
        """The finding, saying so where a trust set that does not count for the client would do."""
        if client is None or finding.check != "chain" or finding.passed:
            return finding
        peer = PeerCertificate(self.chain[0], tuple(self.chain[1:]), "", "")
        others = [name for name in self.trust_names if name not in client.trust_sets]
        for trust_set in self._trust_sets(others):
            exam = Examination(thorough=True)
            with suppress(Refused):
                check.by_path(exam, peer, [trust_set], self.now)
            if any(each.check == "chain" and each.passed for each in exam.findings):
                counts = ", ".join(client.trust_sets)
                names = " ".join((*client.trust_sets, trust_set.name))
                issuer = check.describe(self.chain[0]).issuer
                return replace(
                    finding,
                    seen=f"issuer {issuer} is pinned in trust set {trust_set.name}, "
                    f"but {client.client_id} counts only {counts}",
                    action="Only if you know this certificate is the client's: certbound client "
                    f"trust ID {names}",
                )
        return finding

    def _has_its_key(self, client: Client | None) -> bool:
        try:
            key = check.describe(self.chain[0]).spki_der
        except ValueError:
            return False
        return (
            client is not None and bool(key) and any(r.spki_der == key for r in client.registered)
        )

    def _answer(self, exam: Examination, client_id: str) -> OAuthError | None:
        try:
            asking = authenticate(
                exam,
                self.registry,
                self._credentials(client_id),
                self.remote.keys_for,
                self.now,
                revocation=self.sources.revocation,
            )
            crossings = self._boundary(exam, asking)
        except Refused:
            self._look_at_name(exam, client_id)
        else:
            if exam.first_failure is None:
                return self._request(exam, asking, crossings)
        finally:
            if (state := self.states.get(client_id)) is not None:
                exam.findings.append(Finding("credential", state))
        return InvalidClient(exam.first_failure)

    def _boundary(self, exam: Examination, asking: AuthenticatedClient) -> tuple[str, ...]:
        """As if the client claimed its key now, where it did not yet."""
        holders = self.sources.holders
        return tuple(examine_holders(exam, self.registry, asking, holders, self.policy.boundary))

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

    def _request(
        self, exam: Examination, asking: AuthenticatedClient, crossings: tuple[str, ...]
    ) -> OAuthError | None:
        """The plainest token request: no scope, and no resource unless one is asked about or needed."""
        grant = client_credentials.GRANT_TYPE
        parameters = self._parameters(asking.client.resources)
        try:
            if grant not in asking.client.grant_types:
                raise _no_grant(exam, grant, asking.client)
            wish = GrantRequest(asking, parameters, self.registry, self.policy, crossings)
            issue = GRANTS[grant].grant(wish)
        except OAuthError as refusal:
            if asking.client.grant_types:
                exam.findings.append(refusal.finding)
            return refusal
        scope = " ".join(issue.scope) or "no scope"
        for rule in examine_rules(self.registry.resources[issue.resource], asking.certificate):
            exam.note(rule)
        seen = f"{grant} for {issue.resource}, {scope}, for {issue.lifetime} seconds at most"
        if barred := self._barred(asking):
            seen += f"; across a boundary, so not for {' and '.join(barred)}"
        exam.note(Finding("request", seen))
        return None

    def _parameters(self, named: Sequence[str]) -> dict[str, tuple[str, ...]]:
        if self.resource is not None:
            return {"resource": (self.resource,)}
        plain = self.policy.default_resource in (named or (self.policy.default_resource,))
        return {} if plain else {"resource": (named[0],)}

    def _barred(self, asking: AuthenticatedClient) -> list[str]:
        """Resources that the client may name, and that its labels or its certificate's keep from it."""
        found = [self.registry.resources.get(url) for url in asking.client.resources]
        return [
            each.url
            for each in found
            if each is not None
            and examine_resource(asking, each, self.policy.boundary)[0] is not None
        ]


def examiner(
    desk: Desk,
    chain: Sequence[bytes],
    client_ids: Iterable[str] | None,
    *,
    registered: CredentialRow | None = None,
    at: int | None = None,
    resource: str | None = None,
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
        raise unsealed(error, settings) from error
    if registered is not None:
        rows = replace(rows, credentials=(*rows.credentials, registered))
    registry = Registry(rows, ring)
    wanted = list(registry.client_ids() if client_ids is None else client_ids)
    moment = clock.now() if at is None else at
    peer = PeerCertificate(chain[0], tuple(chain[1:]), "", "")
    return Examiner(
        registry,
        Policy(settings.access_token_lifetime, settings.default_resource, settings.boundary_policy),
        chain,
        Gathering(desk, registry, rows.crls, peer, moment).run(wanted),
        moment,
        tuple(row.name for row in rows.trust_sets),
        resource,
        states(desk, wanted, peer, moment),
    )


def _no_grant(exam: Examination, grant: str, client: Client) -> UnauthorizedClient:
    if not client.grant_types:
        exam.note(Finding("grant", "none: it looks at tokens and gets none"))
    expected = " or ".join(client.grant_types) or "no token request: it only looks at tokens"
    return UnauthorizedClient(Finding("grant", grant, expected, reason=Reason.GRANT_NOT_ALLOWED))


def search(examiner: Examiner) -> list[Diagnosis]:
    """One diagnosis per enabled client, those that came furthest first."""
    found = [
        examiner.diagnose(client_id)
        for client_id in examiner.registry.client_ids()
        if (client := examiner.registry.client(client_id)) is not None and not client.disabled
    ]
    return sorted(found, key=lambda one: (one.status != 200, -one.steps_passed))  # noqa: PLR2004 - OK
