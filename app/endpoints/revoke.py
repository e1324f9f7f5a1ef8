"""Revocation by the client a token was issued to (RFC 7009)."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from app.endpoints import asking
from app.endpoints.asking import Judge
from app.endpoints.consult import Sight, admit, consult
from app.endpoints.door import Decision, Door, answer_refusal
from app.endpoints.refusal import Refusal
from app.errors import Finding, InvalidRequest, Reason
from app.store.tokens import TokenRow
from app.tokens.revoke import TokenRevocation
from app.tokens.revoke import revoke as revocation_of
from app.web.respond import NO_STORE

PATH = "/revoke"


async def revoke(door: Door, request: Request) -> Response:
    """Take a token back, after that is on disk; 200 too where there is nothing to take back.

    A genuine token of another client is refused, and stays what it was (RFC 7009 section 2.1).
    """
    asked = await asking.read(request, PATH)
    seen = await consult(door, asked)
    if isinstance(seen, Refusal):
        return answer_refusal(seen)
    genuine, row = seen.genuine, seen.row
    foreign = genuine is not None and genuine.client_id != seen.caller.client.client_id
    if foreign or (_counts(seen) and row is not None):
        decision = await asking.settle(door, asked, partial(_decide, None if foreign else row))
        if isinstance(decision, Refusal):
            return answer_refusal(decision)
        if not isinstance(decision, TokenRevocation):
            raise TypeError(decision)
    return Response(headers=NO_STORE)


def _counts(seen: Sight) -> bool:
    """Whether the token is recorded as it stands, and not revoked yet."""
    genuine, row = seen.genuine, seen.row
    return (
        genuine is not None and row is not None and genuine.agrees(row) and row.revoked_at is None
    )


def _decide(row: TokenRow | None, judge: Judge) -> Decision:
    """The decision as of one registry; None: the token is another's. Pure."""
    caller = admit(judge)
    if row is None:
        raise InvalidRequest(
            Finding(
                "token",
                "a token of another client",
                "a token of this client",
                "An operator revokes any token: certbound revoke token",
                Reason.TOKEN_NOT_OWN,
            )
        )
    return revocation_of(caller, row, judge.now)
