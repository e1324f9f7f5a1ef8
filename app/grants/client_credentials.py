"""The client credentials grant (RFC 6749 section 4.4) with resource indicators (RFC 8707)."""

from app.errors import Finding, InvalidScope, Reason
from app.grants.request import GrantRequest
from app.grants.resource import chosen_resource
from app.grants.resource_rules import lifetime
from app.grants.scope import parse_scope
from app.tokens.model import Issue

GRANT_TYPE = "client_credentials"
REPEATABLE = frozenset({"resource"})
"""RFC 8707 section 2 lets `resource` stand more than once; more than one is `invalid_target` here."""


def grant(request: GrantRequest) -> Issue:
    """A token for the client itself: subject and client are the same (RFC 9068 section 2.2).

    Raises:
        InvalidTarget: see `chosen_resource`.
        InvalidScope: a scope outside what the client and the resource have in common.

    """
    client = request.client.client
    resource, crossings = chosen_resource(request)
    allowed = [scope for scope in client.scopes if scope in resource.scopes]
    wanted = parse_scope(request.parameters.get("scope", ()))
    if wanted is None:
        wanted = tuple(allowed)
    refused = [scope for scope in wanted if scope not in allowed]
    if refused:
        raise InvalidScope(
            Finding(
                "scope",
                " ".join(refused),
                " ".join(allowed) or f"no scope: none is shared by the client and {resource.url}",
                "Ask for fewer scopes, or register the client and the resource with these.",
                Reason.SCOPE_NOT_ALLOWED,
            )
        )
    return Issue(
        client=request.client,
        grant_type=GRANT_TYPE,
        subject=client.client_id,
        scope=wanted,
        resource=resource.url,
        lifetime=lifetime(resource, request.policy),
        crossings=(*request.crossings, *crossings),
    )
