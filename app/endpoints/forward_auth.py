"""Forward authentication: a proxy asks of each request whether it may go on (any method).

For nginx ``auth_request``, Envoy ``ext_authz`` over HTTP, and their like: 200 with who the holder
is, 401, 403, or 400. Guarantees that a 200 is about a token which was good when it was asked, whose
certificate a registered proxy saw on the connection the token came over. A refused verdict is on
disk before it is told, or was counted with one that is (`app.endpoints.sightings`).

This endpoint alone reads a query: ``resource``, one of those the proxy stands in front of, and
``scope``, what is needed there. They are the proxy's own words, never its client's.
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.audit import CertificateEvidence, TokenPresented
from app.clients.registry import Registry
from app.endpoints.door import Decision, Door, answer_refusal
from app.endpoints.forwarded import Peer, certificate_of, peer_of, proxy_in
from app.endpoints.refusal import Refusal, evidence_of, refused
from app.endpoints.sightings import Mark
from app.errors import (
    Examination,
    Finding,
    InvalidRequest,
    InvalidTarget,
    InvalidToken,
    OAuthError,
    Reason,
)
from app.resource import bearer
from app.resource.challenge import scope_names
from app.store.proxies import ProxyRow
from app.store.tokens import TokenRow
from app.telemetry import log
from app.tls.peer import thumbprint
from app.tokens.forward import Forwarded, Passage, forward, require_good, termination
from app.tokens.genuine import Genuine
from app.web import form
from app.web.errors import render, token_wanted
from app.web.form import Form, malformed
from app.web.respond import NO_STORE

PATH = "/forward-auth"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Some proxies ask with the method of their client's request."""
PARAMETERS = frozenset({"resource", "scope"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, unjudged."""

    peer: Peer
    query: bytes
    token: str | None
    """None: there is no Bearer token."""
    misplaced: bool
    """More than one way to read which token it is."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the database says of the token."""

    registry: Registry
    """In force when it was asked."""
    genuine: Genuine | None
    row: TokenRow | None


async def forward_auth(door: Door, request: Request) -> Response:
    """Say whether the request that a proxy holds may go on."""
    asked = _read(request)
    sight = await _look(door, asked.token)
    found = _judge(asked, sight, sight.registry)
    if found is None:
        return token_wanted()

    decide = partial(_decide, asked, sight)

    async def record(mark: Mark) -> Decision:
        return await door.settle(PATH, lambda registry: mark(decide(registry)))

    if isinstance(found, Forwarded):
        decision = await door.sightings.settle(PATH, found, record)
    else:
        decision = await door.settle(PATH, decide)
    if isinstance(decision, Refusal):
        return answer_refusal(decision)
    if not isinstance(decision, Forwarded):
        raise TypeError(decision)
    if decision.error is None:
        return _welcome(decision.row)
    return _refuse(decision, decision.error, asked)


def _read(request: Request) -> Asked:
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    token, misplaced = None, False
    try:
        token = bearer.token(bearer.Sent(values)).decode("latin-1")
    except bearer.NotSent:
        pass
    except bearer.Misplaced:
        misplaced = True
    return Asked(peer_of(request), request.scope["query_string"], token, misplaced)


async def _look(door: Door, token: str | None) -> Sight:
    """The token's record and the registry it was read with, both of after the request came."""
    registry = door.snapshots.current
    while True:
        genuine = None
        if token is not None:
            genuine = door.own_tokens.read(token, registry.keys.published, clock.now())
        found = await door.lookups.find(genuine.jti if genuine else None)
        if found.registry.version == registry.version:
            return Sight(registry, genuine, found.token)
        registry = found.registry


def _decide(asked: Asked, sight: Sight, registry: Registry) -> Decision:
    found = _judge(asked, sight, registry)
    if found is None:
        raise TypeError(found)  # a token does not go away
    return found


def _judge(asked: Asked, sight: Sight, registry: Registry) -> Forwarded | Refusal | None:
    """The decision as of one registry; None: there is no token. Pure: it may be taken again.

    Raises:
        OAuthError: about the proxy, its headers or its query, not about the token.

    """
    now = clock.now()
    proxy = proxy_in(registry, asked.peer, now)
    der = certificate_of(proxy, asked.peer.headers)
    passage = _passage(registry, proxy, asked.query)
    if asked.misplaced:
        raise InvalidRequest(
            Finding(
                "authorization",
                "more than one Authorization header",
                "one",
                reason=Reason.REQUEST_MALFORMED,
            )
        )
    if asked.token is None:
        return None
    try:
        row = require_good(registry, passage, sight.genuine, sight.row, now)
    except InvalidToken as error:
        return _refusal(error, passage, sight, _evidence(der, proxy.name))
    return forward(passage, row, _evidence(der, proxy.name))


def _passage(registry: Registry, proxy: ProxyRow, query: bytes) -> Passage:
    """What the proxy asks about: the one resource of its registration, or the one it names.

    Raises:
        InvalidRequest: the query is malformed.
        InvalidTarget: the resource is not its own, is gone, or takes no proxies.

    """
    parameters = _parameters(query)
    url = parameters.get("resource")
    if url is None and len(proxy.resources) == 1:
        url = proxy.resources[0]
    if url is None or url not in proxy.resources:
        raise _no_target(
            url or "no resource",
            f"one that proxy {proxy.name} stands in front of",
            "Name it in the query, ?resource=URL: certbound proxy list",
            Reason.RESOURCE_NOT_ALLOWED,
        )
    resource = registry.resources.get(url)
    if resource is None:
        raise _no_target(url, "a registered resource", "", Reason.RESOURCE_UNKNOWN)
    if resource.direct_only:
        raise _no_target(
            f"{url} behind proxy {proxy.name}",
            "TLS that ends at the resource itself, as it is registered",
            "Pass TLS through to it, or let it: certbound resource add URL --behind-proxies",
            Reason.BINDING_REQUIRED,
        )
    try:
        scopes = scope_names(_scopes(parameters))
    except ValueError:
        raise malformed("a scope that is none", "scopes separated by spaces") from None
    return Passage(proxy.name, url, scopes)


def _parameters(query: bytes) -> Form:
    parameters = form.parse(query)
    unknown = {*parameters.values, *parameters.empty} - PARAMETERS
    if unknown:  # a misspelt scope must not open anything
        raise malformed(f"parameter {min(unknown)!r}", "resource and scope, nothing else")
    empty = set(parameters.empty)
    if "scope" in parameters.values and not _scopes(parameters):
        empty.add("scope")
    if empty:  # a variable that was not set, say: neither must an empty one
        raise malformed(f"an empty {min(empty)}", "a value, or the parameter left out")
    return parameters


def _scopes(parameters: Form) -> list[str]:
    """RFC 6749 section 3.3: a space is the only separator."""
    return [name for name in (parameters.get("scope") or "").split(" ") if name]


def _no_target(seen: str, expected: str, action: str, reason: Reason) -> InvalidTarget:
    return InvalidTarget(Finding("resource", seen, expected, action, reason))


@lru_cache(maxsize=256)  # 6 MiB of the largest certificates; reading one takes 0.1 ms
def _evidence(der: bytes | None, proxy: str) -> CertificateEvidence | None:
    if der is None:
        return None
    return evidence_of(der, thumbprint=thumbprint(der), termination=termination(proxy))


def _refusal(
    error: OAuthError, passage: Passage, sight: Sight, seen: CertificateEvidence | None
) -> Refusal:
    """About a token that is no good: what is known of it, and the certificate it came with."""
    refusal = refused(PATH, error, Examination(), None)
    event = replace(refusal.event, certificate=seen, resource=passage.resource)
    if sight.genuine is not None:
        event = replace(event, client_id=sight.genuine.client_id, jti=sight.genuine.jti)
    return replace(refusal, event=event)


def _refuse(decision: Forwarded, error: OAuthError, asked: Asked) -> Response:
    response = _answer_verdict(PATH, error, decision.event)
    scopes = _scopes(_parameters(asked.query))
    if error.status == 403 and scopes:  # noqa: PLR2004 - its name
        # RFC 6750 section 3; the characters were checked, and the words are the proxy's.
        response.headers["WWW-Authenticate"] += f', scope="{" ".join(scopes)}"'
    return response


def _welcome(row: TokenRow) -> Response:
    """200: who the holder is. All of them each time, so that none of the client's own survives."""
    said = {
        "X-Certbound-Client-Id": row.client_id,
        "X-Certbound-Subject": row.subject,
        "X-Certbound-Scope": row.scope,
        "X-Certbound-Thumbprint": row.thumbprint,
    }
    for value in said.values():
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError("a value that no header can carry as it is")
    return Response(headers={**NO_STORE, **said})


def _answer_verdict(path: str, error: OAuthError, event: TokenPresented) -> Response:
    """The answer to a recorded verdict that refuses. Of many alike no log line is written either."""
    say = log().info if event.alike is None else log().debug
    say("request.refused", endpoint=path, error=error.error, reason=event.reason, ref=event.ref)
    return render(error, ref=event.ref)
