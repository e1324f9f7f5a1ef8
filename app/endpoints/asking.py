"""What every endpoint does first that authenticates clients: read, prove who asks, settle.

Guarantees one way for all of them (RFC 8705 section 2, RFC 6749 section 2.3): the registration
decides the method, the deny-list and boundaries count, and every refused certificate, unknown
client included, ends in the same `InvalidClient`.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from app import clock
from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.boundary import examine_holders
from app.clients.registry import Registry
from app.endpoints import traced
from app.endpoints.door import Decision, Door, credentials
from app.endpoints.refusal import Refusal, refused
from app.endpoints.wanted import (
    HoldersWanted,
    KeySetWanted,
    RevocationOrWanted,
    StatusWanted,
    Wanted,
)
from app.errors import (
    Examination,
    Finding,
    InvalidClient,
    InvalidRequest,
    OAuthError,
    RateLimited,
    Reason,
    Refused,
)
from app.jose.jwks import ClientKey
from app.tls.admission import source_of
from app.web import form, headers
from app.web.form import Form

T = TypeVar("T")

OTHER_CREDENTIALS = ("client_secret", "client_assertion")


@dataclass(slots=True)
class Charge:
    """What this request took from the limits: once, however often its decision is taken."""

    is_within: bool | None = None
    """Whether the client has not asked too often; None: nobody was authenticated yet."""
    instead: OAuthError | None = None
    """What was told to a stranger: what is wrong, or that its address has too much of it."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request with its claimed client and what it presents, unjudged."""

    path: str
    parameters: Form
    presented: Credentials
    others: Sequence[str]
    """Credentials that are not the certificate."""
    source: str = "unknown"
    """The address it came from, as addresses are counted."""
    charge: Charge = field(default_factory=Charge)


@dataclass(frozen=True, slots=True)
class Proven:
    """Who asks, and the boundaries crossed by the key alone, to be reported."""

    client: AuthenticatedClient
    crossings: tuple[str, ...]


@dataclass(slots=True)
class Judge:
    """One taking of the decision on one request: the registry, the time, what was found."""

    door: Door
    asking: Asking
    registry: Registry
    sought: AbstractSet[Hashable]
    """What was fetched for this request; what else is needed is raised as `Wanted`."""
    now: int
    exam: Examination = field(default_factory=Examination)
    is_stranger: bool = True
    """Until the client is authenticated."""

    def client(self) -> Proven:
        """The client, if everything about it holds. Raises as `_client`."""
        if self.door.traces is None:
            return self._client()
        with self.door.traces.part(traced.AUTHENTICATE):
            return self._client()

    def _client(self) -> Proven:
        """The same, untraced.

        Raises:
            InvalidClient: it does not; the finding says why.
            InvalidRequest: more than one kind of credential was sent.
            RateLimited: it does, and the client asks too often.
            Wanted: something has to be fetched first.

        """
        door, registry, presented = self.door, self.registry, self.asking.presented
        _one_mechanism(self.asking)
        client = registry.client(presented.unverified_client_id)
        if client is not None and not client.disabled and registry.asks_ocsp:
            self._want(StatusWanted(client, registry))
        try:
            proven = authenticate(
                self.exam,
                registry,
                presented,
                self._keys_for,
                self.now,
                revocation=RevocationOrWanted(door.revocation, registry, self._want),
            )
            found = Proven(proven, self._crossings(proven))
        except Refused as verdict:
            raise InvalidClient(verdict.finding) from verdict
        self.is_stranger = False
        self._charge(proven.client.client_id)
        return found

    def refusal(self, error: OAuthError) -> Refusal:
        """The refusal that `error` makes of this taking, with all its findings."""
        if self.is_stranger:
            error = self._too_often(error)
        client = self.registry.client(self.asking.presented.unverified_client_id)
        method = client.token_endpoint_auth_method if client else None
        return refused(self.asking.path, error, self.exam, self.asking.presented, method)

    def _charge(self, client_id: str) -> None:
        limit, charge = self.door.limits.clients, self.asking.charge
        if charge.is_within is None:
            charge.is_within = limit.take(client_id)
        if not charge.is_within:
            raise RateLimited(
                Finding(
                    "rate",
                    "many requests of this client",
                    f"at most {limit.per_second} a second (rate_per_client)",
                    "Have the client keep its token until it ends, or raise the setting.",
                    Reason.RATE_LIMITED,
                )
            )

    def _too_often(self, error: OAuthError) -> OAuthError:
        charge = self.asking.charge
        if charge.instead is None:
            charge.instead = self.door.limits.too_often(self.asking.source, error)
        return charge.instead if isinstance(charge.instead, RateLimited) else error

    def _want(self, wanted: Wanted) -> None:
        if wanted.key not in self.sought:
            raise wanted

    def _keys_for(self, uri: str, now: int) -> tuple[ClientKey, ...] | None:
        self._want(KeySetWanted(uri))
        return self.door.remote_keys.keys_for(uri, now)

    def _crossings(self, asking: AuthenticatedClient) -> tuple[str, ...]:
        """Who else holds this key, as the database has it; what is only to be reported."""
        door, registry, client = self.door, self.registry, asking.client
        spki_sha256 = asking.certificate.spki_sha256
        holders = door.key_holders.known(spki_sha256, client.client_id, registry.version)
        if holders is None:  # whatever was sought: without it there is no decision
            raise HoldersWanted(asking, registry)
        return tuple(examine_holders(self.exam, registry, asking, holders, door.policy.boundary))


async def read(
    request: Request, path: str, *, repeatable: AbstractSet[str] = frozenset()
) -> Asking:
    """The form, strictly, and the client it names.

    Raises:
        InvalidRequest: the form is malformed, or names no client.

    """
    parameters = await form.read(request, repeatable=repeatable)
    others = [name for name in OTHER_CREDENTIALS if parameters.get(name) is not None]
    if headers.values(request, b"authorization"):
        others.append("an Authorization header")
    presented = credentials(request, _client_id(parameters, others))
    return Asking(path, parameters, presented, others, source_of(request.scope["client"]))


async def settle(door: Door, asking: Asking, decide: Callable[[Judge], Decision]) -> Decision:
    """The recorded decision, after all it wanted had the chance to be fetched.

    `decide` is pure: the journal may take it again, on a newer registry. What it raises of
    `OAuthError` becomes a recorded refusal.
    """
    return await fetching(
        door,
        asking,
        lambda sought: door.settle(
            asking.path,
            partial(_decided, door, asking, sought, decide),
            asking.parameters.get("grant_type"),
        ),
    )


async def fetching(
    door: Door, asking: Asking, attempt: Callable[[AbstractSet[Hashable]], Awaitable[T]]
) -> T:
    """What `attempt` returns, after all it wanted had the chance to be fetched.

    It is given what was, and raises `Wanted` for what else it needs.
    """
    sought: set[Hashable] = set()
    while True:
        try:
            return await attempt(sought)
        except Wanted as wanted:
            sought.add(wanted.key)
            await wanted.fetch(door, asking.presented)


def _decided(
    door: Door,
    asking: Asking,
    sought: AbstractSet[Hashable],
    decide: Callable[[Judge], Decision],
    registry: Registry,
) -> Decision:
    judge = Judge(door, asking, registry, sought, clock.now())
    if door.traces is None:
        return _taken(judge, decide)
    with door.traces.part(traced.DECIDE):
        return _taken(judge, decide)


def _taken(judge: Judge, decide: Callable[[Judge], Decision]) -> Decision:
    try:
        return decide(judge)
    except OAuthError as error:
        return judge.refusal(error)


def required(parameters: Form, name: str) -> str:
    """The parameter; raises `InvalidRequest` where it is missing."""
    value = parameters.get(name)
    if value is None:
        raise form.malformed(f"no {name}", f"{name} in the body")
    return value


def _client_id(parameters: Form, others: Sequence[str]) -> str:
    """RFC 8705 section 2: the certificate does not say which client it is; ``client_id`` does."""
    value = parameters.get("client_id")
    if value is not None:
        return value
    seen = " and ".join(("no client_id", *others))
    action = "Send client_id in the body."
    if others:
        action += " Set the client library's method to tls_client_auth or none."
    raise InvalidRequest(
        Finding("form", seen, "client_id in the body", action, Reason.REQUEST_MALFORMED)
    )


def _one_mechanism(asking: Asking) -> None:
    """RFC 6749 section 2.3: at most one authentication method per request.

    Every client here authenticates by its certificate, so a password or an assertion is either a
    second mechanism (with a certificate) or a wrong one (without).
    """
    others = asking.others
    if not others:
        return
    finding = Finding(
        "method",
        " and ".join(others),
        "the client's certificate alone",
        "Set the client library's method to tls_client_auth (or none, with client_id in the body).",
        Reason.METHOD_NOT_ALLOWED,
    )
    if asking.presented.peer is not None or len(others) > 1:
        raise InvalidRequest(finding)
    raise InvalidClient(finding)
