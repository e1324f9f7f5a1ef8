"""The token endpoint (RFC 6749 section 3.2), on both listeners."""

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.boundary import examine_holders
from app.clients.registry import Registry
from app.endpoints.door import (
    Decision,
    Door,
    Refusal,
    answer_refusal,
    credentials,
    refused,
)
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
    Reason,
    Refused,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from app.grants import GRANTS, REPEATABLE
from app.grants.request import GrantRequest
from app.jose.jwks import ClientKey
from app.tokens.issue import complete, prepare
from app.tokens.model import Issue
from app.web import form
from app.web.form import Form
from app.web.respond import json_response

PATH = "/token"
OTHER_CREDENTIALS = ("client_secret", "client_assertion")


async def token(door: Door, request: Request) -> Response:
    """Issue a certificate-bound access token, after its record is on disk.

    Every refused certificate, unknown client included, gets the same 401.
    """
    parameters = await form.read(request, repeatable=REPEATABLE)
    others = _other_credentials(request, parameters)
    presented = credentials(request, _client_id(parameters, others))
    decision = await _settled(door, parameters, presented, others)
    if isinstance(decision, Refusal):
        return answer_refusal(decision)
    return json_response(complete(decision).members())


async def _settled(
    door: Door, parameters: Form, presented: Credentials, others: Sequence[str]
) -> Decision:
    """The recorded decision, after all it wanted had the chance to be fetched."""
    sought: set[Hashable] = set()
    while True:
        try:
            return await door.journal.settle(
                partial(decide, door, parameters, presented, others, sought=sought)
            )
        except Wanted as wanted:
            sought.add(wanted.key)
            await wanted.fetch(door, presented)


def decide(
    door: Door,
    parameters: Form,
    presented: Credentials,
    others: Sequence[str],
    registry: Registry,
    *,
    sought: AbstractSet[Hashable] = frozenset(),
) -> Decision:
    """The decision on one request as of `registry`. Pure: the journal may take it again.

    `sought` names what was fetched for this request; what else is needed is raised as `Wanted`.
    """

    def want(wanted: Wanted) -> None:
        if wanted.key not in sought:
            raise wanted

    def keys_for(uri: str, now: int) -> tuple[ClientKey, ...] | None:
        want(KeySetWanted(uri))
        return door.remote_keys.keys_for(uri, now)

    exam = Examination()
    now = clock.now()
    client = registry.client(presented.unverified_client_id)
    method = client.token_endpoint_auth_method if client else None
    try:
        grant_type = _required(parameters, "grant_type")
        _one_mechanism(others, presented)
        if client is not None and not client.disabled and registry.asks_ocsp:
            want(StatusWanted(client, registry))
        try:
            known = RevocationOrWanted(door.revocation, registry, want)
            asking = authenticate(exam, registry, presented, keys_for, now, revocation=known)
            crossings = _examine_boundary(exam, door, registry, asking)
        except Refused as verdict:
            raise InvalidClient(verdict.finding) from verdict
        wish = GrantRequest(asking, parameters.values, registry, door.policy, crossings)
        issue = _grant(grant_type, parameters, wish)
        return prepare(
            issue,
            issuer=door.issuer.identifier,
            signer=registry.keys.current,
            now=now,
            doubts=exam.doubts,
        )
    except OAuthError as error:
        return refused(PATH, error, exam, presented, method)


def _examine_boundary(
    exam: Examination, door: Door, registry: Registry, asking: AuthenticatedClient
) -> tuple[str, ...]:
    """Who else holds this key, as the database has it; what is only to be reported."""
    spki_sha256 = asking.certificate.spki_sha256
    holders = door.key_holders.known(spki_sha256, asking.client.client_id, registry.version)
    if holders is None:  # whatever was sought: without it there is no decision
        raise HoldersWanted(asking, registry)
    return tuple(examine_holders(exam, registry, asking, holders, door.policy.boundary))


def _grant(name: str, parameters: Form, request: GrantRequest) -> Issue:
    row = GRANTS.get(name)
    if row is None:
        raise UnsupportedGrantType(
            Finding("grant", name, " or ".join(GRANTS), reason=Reason.GRANT_UNKNOWN)
        )
    for repeated in REPEATABLE - row.repeatable:
        if len(parameters.all(repeated)) > 1:
            raise form.malformed(f"parameter {repeated!r} repeated", "each parameter once")
    client = request.client.client
    if name not in client.grant_types:
        raise UnauthorizedClient(
            Finding(
                "grant",
                name,
                " or ".join(client.grant_types),
                "Register the client with --grant for this grant type.",
                Reason.GRANT_NOT_ALLOWED,
            )
        )
    return row.grant(request)


def _required(parameters: Form, name: str) -> str:
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


def _other_credentials(request: Request, parameters: Form) -> list[str]:
    others = [name for name in OTHER_CREDENTIALS if parameters.get(name) is not None]
    if "authorization" in request.headers:
        others.append("an Authorization header")
    return others


def _one_mechanism(others: Sequence[str], presented: Credentials) -> None:
    """RFC 6749 section 2.3: at most one authentication method per request.

    Every client here authenticates by its certificate, so a password or an assertion is either a
    second mechanism (with a certificate) or a wrong one (without).
    """
    if not others:
        return
    finding = Finding(
        "method",
        " and ".join(others),
        "the client's certificate alone",
        "Set the client library's method to tls_client_auth (or none, with client_id in the body).",
        Reason.METHOD_NOT_ALLOWED,
    )
    if presented.peer is not None or len(others) > 1:
        raise InvalidRequest(finding)
    raise InvalidClient(finding)
