"""Which protected resource a token is for (RFC 8707 section 2)."""

from app.clients.boundary import examine_resource
from app.clients.registry import Resource
from app.errors import Finding, InvalidTarget, Reason
from app.grants.request import GrantRequest
from app.grants.resource_rules import require_rules
from app.unsaid import without_passwords


def chosen_resource(request: GrantRequest) -> tuple[Resource, tuple[str, ...]]:
    """The one resource of this request; it becomes `aud`. Compared character by character.

    Without the parameter it is the server's default resource. A client registered with resources
    may use those; one registered without may use the default resource only.

    With it come the boundaries between client and resource that are only to be reported.

    Raises:
        InvalidTarget: more than one, one nobody registered, one the client may not use, one of
            another boundary, or one whose rules the client's certificate does not meet.

    """
    named = request.parameters.get("resource", ())
    if len(named) > 1:
        raise _refused(f"{len(named)} resources", "exactly one", Reason.RESOURCE_NOT_ALLOWED)
    url = named[0] if named else request.policy.default_resource
    resource = request.registry.resources.get(url)
    if resource is None:
        raise _refused(url, "a registered resource", Reason.RESOURCE_UNKNOWN)
    allowed = request.client.client.resources or (request.policy.default_resource,)
    if url not in allowed:
        raise _refused(url, " or ".join(allowed), Reason.RESOURCE_NOT_ALLOWED)
    violation, crossings = examine_resource(request.client, resource, request.policy.boundary)
    if violation is not None:
        raise InvalidTarget(violation)
    require_rules(resource, request.client.certificate)
    return resource, tuple(crossings)


def _refused(seen: str, expected: str, reason: Reason) -> InvalidTarget:
    action = (
        "Name a registered one, or register it; see them with: certbound resource list"
        if reason is Reason.RESOURCE_UNKNOWN
        else "Name one resource the client is registered for: certbound client show"
    )
    return InvalidTarget(Finding("resource", without_passwords(seen), expected, action, reason))
