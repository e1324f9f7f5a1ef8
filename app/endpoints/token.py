"""The token endpoint (RFC 6749 section 3.2), on both listeners."""

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.boundary import examine_holders
from app.clients.methods import tls_client_auth
from app.clients.methods.evidence import Evidence
from app.clients.methods.self_signed_tls_client_auth import is_published
from app.clients.model import Client
from app.clients.registry import Registry
from app.endpoints.door import (
    Decision,
    Door,
    Refusal,
    answer_refusal,
    credentials,
    refused,
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


class _KeyNotClaimed(Exception):
    """The decision needs to know who else holds the client's key; nobody asked for it yet."""

    def __init__(self, asking: AuthenticatedClient) -> None:
        super().__init__(asking.client.client_id)
        self.asking = asking


class _KeysNotSought(Exception):
    """The decision needs the key set at `uri`, which this request did not ask for yet."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


async def _settled(
    door: Door, parameters: Form, presented: Credentials, others: Sequence[str]
) -> Decision:
    """The recorded decision, after the client's ``jwks_uri`` had the chance to be read.

    Which URI that is may be newer than this process's snapshot: then the decision in the journal
    says so, nothing is recorded, and it is taken again. Each round needs an operator's change.
    """
    client = door.snapshots.current.client(presented.unverified_client_id)
    if client is not None and not others:
        await _seek_status(door, client, presented)
    sought = client.jwks_uri if client and not (client.disabled or others) else None
    while True:
        if sought is not None:
            await _seek_keys(door, presented, sought)
        try:
            return await door.journal.settle(
                partial(decide, door, parameters, presented, others, sought=sought)
            )
        except _KeysNotSought as missed:
            sought = missed.uri
        except _KeyNotClaimed as missed:
            client = missed.asking.client
            spki_sha256 = missed.asking.certificate.spki_sha256
            await door.key_holders.claim(spki_sha256, client.client_id, client.tenant)


def decide(
    door: Door,
    parameters: Form,
    presented: Credentials,
    others: Sequence[str],
    registry: Registry,
    *,
    sought: str | None = None,
) -> Decision:
    """The decision on one request as of `registry`. Pure: the journal may take it again.

    `sought` is the ``jwks_uri`` that was given the chance to be read for this request.
    """

    def keys_for(uri: str, now: int) -> tuple[ClientKey, ...] | None:
        if uri != sought:
            raise _KeysNotSought(uri)
        return door.remote_keys.keys_for(uri, now)

    exam = Examination()
    now = clock.now()
    client = registry.client(presented.unverified_client_id)
    method = client.token_endpoint_auth_method if client else None
    try:
        grant_type = _required(parameters, "grant_type")
        _one_mechanism(others, presented)
        try:
            asking = authenticate(
                exam, registry, presented, keys_for, now, revocation=door.revocation
            )
            crossings = _examine_boundary(exam, door, registry, asking)
        except Refused as verdict:
            raise InvalidClient(verdict.finding) from verdict
        wish = GrantRequest(asking, parameters.values, registry, door.policy, crossings)
        issue = _grant(grant_type, parameters, wish)
        return prepare(issue, issuer=door.issuer.identifier, signer=registry.keys.current, now=now)
    except OAuthError as error:
        return refused(PATH, error, exam, presented, method)


def _examine_boundary(
    exam: Examination, door: Door, registry: Registry, asking: AuthenticatedClient
) -> tuple[str, ...]:
    """Who else holds this key, as the database has it; what is only to be reported."""
    client = asking.client
    holders = door.key_holders.known(asking.certificate.spki_sha256, client.client_id)
    if holders is None:
        raise _KeyNotClaimed(asking)
    return tuple(examine_holders(exam, registry, client, holders, door.policy.boundary))


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


async def _seek_status(door: Door, client: Client, presented: Credentials) -> None:
    """Give OCSP responders the chance to answer; no wait while fresh answers are at hand."""
    registry = door.snapshots.current
    peer = presented.peer
    if peer is None or client.disabled or not registry.asked_about("ocsp"):
        return
    if client.token_endpoint_auth_method == tls_client_auth.NAME:
        evidence = Evidence(client, peer, registry, door.remote_keys.keys_for, clock.now())
        if (wanted := tls_client_auth.links_to_ask(evidence)) is not None:
            await door.ocsp.ensure(*wanted)


async def _seek_keys(door: Door, presented: Credentials, uri: str) -> None:
    """Give a client with a ``jwks_uri`` the chance to have just published this certificate."""
    peer = presented.peer
    if peer is not None:
        await door.remote_keys.ensure(uri, lambda keys: is_published(keys, peer))
