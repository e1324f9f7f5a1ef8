"""The token endpoint (RFC 6749 section 3.2), on both listeners."""

from starlette.requests import Request
from starlette.responses import Response

from app.endpoints import asking, traced
from app.endpoints.asking import Judge, required
from app.endpoints.door import Decision, Door, answer_refusal
from app.endpoints.refusal import Refusal
from app.errors import Finding, Reason, UnauthorizedClient, UnsupportedGrantType
from app.grants import GRANTS, REPEATABLE
from app.grants.request import GrantRequest
from app.tokens.issue import Issuance, complete, prepare
from app.tokens.model import Issue
from app.web import form
from app.web.respond import json_response

PATH = "/token"


async def token(door: Door, request: Request) -> Response:
    """Issue a certificate-bound access token, after its record is on disk.

    Every refused certificate, unknown client included, gets the same 401.
    """
    asked = await asking.read(request, PATH, repeatable=REPEATABLE)
    decision = await asking.settle(door, asked, decide)
    if isinstance(decision, Refusal):
        return answer_refusal(decision)
    if not isinstance(decision, Issuance):
        raise TypeError(decision)
    if door.traces is None:
        return json_response(complete(decision).members())
    with door.traces.part(traced.SIGN):
        return json_response(complete(decision).members())


def decide(judge: Judge) -> Decision:
    """The decision on one request as of one registry. Pure: the journal may take it again."""
    door, registry = judge.door, judge.registry
    parameters = judge.asking.parameters
    grant_type = required(parameters, "grant_type")
    proven = judge.client()
    wish = GrantRequest(proven.client, parameters.values, registry, door.policy, proven.crossings)
    return prepare(
        _grant(grant_type, wish),
        issuer=door.issuer.identifier,
        signer=registry.keys.current,
        status=door.status_lists.place(judge.now),
        now=judge.now,
        doubts=judge.exam.doubts,
    )


def _grant(name: str, request: GrantRequest) -> Issue:
    row = GRANTS.get(name)
    if row is None:
        raise UnsupportedGrantType(
            Finding("grant", name, " or ".join(GRANTS), reason=Reason.GRANT_UNKNOWN)
        )
    for repeated in REPEATABLE - row.repeatable:
        if len(request.parameters.get(repeated, ())) > 1:
            raise form.malformed(f"parameter {repeated!r} repeated", "each parameter once")
    client = request.client.client
    if name not in client.grant_types:
        raise UnauthorizedClient(
            Finding(
                "grant",
                name,
                " or ".join(client.grant_types) or "no grant: it only looks at tokens",
                "Register the client with --grant for this grant type.",
                Reason.GRANT_NOT_ALLOWED,
            )
        )
    return row.grant(request)
