"""Introspection (RFC 7662), as JSON or as a signed JWT (RFC 9701).

An answer without a certificate to judge changes nothing and is not written down. With one it is a
decision about who may use the token, and is recorded before it is given, like every decision, or
counted with those alike (`app.endpoints.sightings`).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import clock
from app.clients.authentication import AuthenticatedClient
from app.endpoints import asking
from app.endpoints.asking import Asking, Judge
from app.endpoints.consult import Sight, admit, consult
from app.endpoints.door import Decision, Door, answer_refusal
from app.endpoints.observed import observed_in
from app.endpoints.refusal import Refusal
from app.endpoints.sightings import Mark
from app.store.tokens import TokenRow
from app.telemetry import log
from app.tokens.genuine import Genuine
from app.tokens.introspect import (
    INACTIVE,
    Observed,
    Presented,
    active,
    is_good,
    may_report,
    present,
    visible,
)
from app.web import headers
from app.web.accept import prefers
from app.web.respond import NO_STORE, json_response

PATH = "/introspect"
JWT_TYPE = "token-introspection+jwt"
MEDIA_TYPE = f"application/{JWT_TYPE}"


async def introspect(door: Door, request: Request) -> Response:
    """Say of a token what this caller may know."""
    asked = await asking.read(request, PATH)
    seen = await consult(door, asked, _admit)
    if isinstance(seen, Refusal):
        return answer_refusal(seen)
    members = await _members(door, asked, seen)
    if isinstance(members, Refusal):
        return answer_refusal(members)
    if prefers(headers.values(request, b"accept"), MEDIA_TYPE, "application/json"):
        return _signed(door, seen, members)
    return json_response(members)


def _admit(judge: Judge) -> AuthenticatedClient:
    observed_in(judge.asking.parameters)  # refused before anything is looked up
    return admit(judge)


async def _members(door: Door, asked: Asking, seen: Sight) -> Mapping[str, Any] | Refusal:
    _tell_blind(door, seen)
    row = seen.row if _is_shown(seen, seen.judge, seen.caller) else None
    if row is None:
        return INACTIVE
    observed = observed_in(asked.parameters)
    issuer = door.issuer.identifier
    if observed is None:
        return active(issuer, row)

    async def record(mark: Mark) -> Decision:
        return await asking.settle(door, asked, partial(_presented, seen, row, observed, mark))

    verdict = present(seen.caller, row, observed, seen.judge.now)
    try:
        decision = await door.sightings.settle(PATH, verdict, record)
    except _Withdrawn:
        return INACTIVE
    return decision.members(issuer, row) if isinstance(decision, Presented) else _refusal(decision)


def _is_shown(seen: Sight, judge: Judge, caller: AuthenticatedClient) -> bool:
    """Whether the token is good, and for this caller's eyes, by the registry of `judge`."""
    genuine, row = seen.genuine, seen.row
    return (
        genuine is not None
        and row is not None
        and _may_ask(judge, caller, genuine)
        and is_good(judge.registry, genuine, row, judge.now)
    )


def _may_ask(judge: Judge, caller: AuthenticatedClient, genuine: Genuine) -> bool:
    """Whether the caller may look at the token, and tell of a certificate where it does."""
    reports = observed_in(judge.asking.parameters) is not None
    return (may_report if reports else visible)(caller.client, genuine)


def _tell_blind(door: Door, seen: Sight) -> None:
    """For the operator alone: who asks may not look. The answer never tells it from a bad token."""
    client, genuine = seen.caller.client, seen.genuine
    if genuine is None or _may_ask(seen.judge, seen.caller, genuine):
        return
    if door.limits.hints.take(client.client_id):
        log().warning(
            "introspection.not_served",
            client_id=client.client_id,
            resource=genuine.resource,
            hint="it may not look at tokens for this resource: certbound client sight",
        )


class _Withdrawn(Exception):
    """The registry moved, and the token is good no more."""


def _presented(
    seen: Sight, row: TokenRow, observed: Observed, mark: Mark, judge: Judge
) -> Decision:
    """The verdict as of one registry. Pure: the journal may take it again."""
    caller = _admit(judge)
    if not _is_shown(seen, judge, caller):
        raise _Withdrawn
    return mark(present(caller, row, observed, judge.now))


def _refusal(decision: Decision) -> Refusal:
    if not isinstance(decision, Refusal):
        raise TypeError(decision)
    return decision


def _signed(door: Door, seen: Sight, members: Mapping[str, Any]) -> Response:
    """RFC 9701 section 5: for this caller only, and by its type and claims nobody's credential."""
    claims = {
        "iss": door.issuer.identifier,
        "aud": seen.caller.client.client_id,
        "iat": clock.now(),
        "token_introspection": members,
    }
    signer = seen.judge.registry.keys.current.typed(JWT_TYPE)
    return Response(signer.sign(claims), headers=NO_STORE, media_type=MEDIA_TYPE)
