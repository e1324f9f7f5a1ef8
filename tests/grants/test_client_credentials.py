"""The client credentials grant: a decision as data, from plain values."""

from typing import Any

import pytest

from app.errors import InvalidScope, InvalidTarget, OAuthError, Reason
from app.grants import GRANTS, REPEATABLE
from app.grants.client_credentials import grant
from app.grants.request import GrantRequest
from tests.kit.decisions import DEFAULT, grant_request, pki_row, registry, resource

FILES = "https://files.example"
BOTH = (resource(DEFAULT, "read", "write", "admin"), resource(FILES, "read", "list"))


def asked(*resources: str, scope: str | None = None, **client: Any) -> GrantRequest:
    """A request of ``bot``, registered with these changes, for these resources."""
    request = grant_request(registry(pki_row(**client), resources=BOTH))
    parameters = {"resource": resources} if resources else {}
    if scope is not None:
        parameters["scope"] = (scope,)
    return GrantRequest(request.client, parameters, request.registry, request.policy)


def refusal(request: GrantRequest) -> OAuthError:
    """The error that the grant raises."""
    with pytest.raises(OAuthError) as caught:
        grant(request)
    return caught.value


def test_the_decision() -> None:
    """Subject and client are one; resource, scope and lifetime come from registration and policy."""
    made = grant(asked())
    assert made.subject == made.client.client.client_id == "bot"
    assert (made.resource, made.scope, made.lifetime) == (DEFAULT, ("read", "write"), 300)
    assert made.grant_type == "client_credentials"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [(None, ("read", "write")), ("write", ("write",)), ("write read", ("write", "read"))],
)
def test_scope_is_what_was_asked_for_or_all(scope: str | None, expected: tuple[str, ...]) -> None:
    """A subset is given as asked; without the parameter everything client and resource share."""
    assert grant(asked(scope=scope)).scope == expected


@pytest.mark.parametrize("scope", ["admin", "list", "read admin", "READ", "rea", "read,write"])
def test_scope_never_widens(scope: str) -> None:
    """Known to the resource but not to the client, or the reverse, or neither: refused whole."""
    error = refusal(asked(scope=scope))
    assert isinstance(error, InvalidScope)
    assert error.finding.reason is Reason.SCOPE_NOT_ALLOWED


def test_a_client_without_scopes_gets_none() -> None:
    """No scope at all is a decision too; asking for one is refused."""
    assert grant(asked(scopes=())).scope == ()
    assert isinstance(refusal(asked(scopes=(), scope="read")), InvalidScope)


@pytest.mark.parametrize(
    ("registered", "named", "expected"),
    [
        ((), (), DEFAULT),
        ((), (DEFAULT,), DEFAULT),
        ((FILES,), (FILES,), FILES),
        ((FILES, DEFAULT), (), DEFAULT),
        ((FILES, DEFAULT), (FILES,), FILES),
    ],
)
def test_the_resource_named_or_the_default(
    registered: tuple[str, ...], named: tuple[str, ...], expected: str
) -> None:
    """Clients without resources have the default one; the others have theirs and no more."""
    assert grant(asked(*named, resources=registered)).resource == expected


@pytest.mark.parametrize(
    ("registered", "named", "reason"),
    [
        ((), (FILES,), Reason.RESOURCE_NOT_ALLOWED),
        ((FILES,), (), Reason.RESOURCE_NOT_ALLOWED),
        ((FILES,), (DEFAULT,), Reason.RESOURCE_NOT_ALLOWED),
        ((), ("https://unknown.example",), Reason.RESOURCE_UNKNOWN),
        (("https://gone.example",), ("https://gone.example",), Reason.RESOURCE_UNKNOWN),
        ((FILES,), (FILES, FILES), Reason.RESOURCE_NOT_ALLOWED),
        ((), (DEFAULT, FILES), Reason.RESOURCE_NOT_ALLOWED),
    ],
)
def test_no_other_resource(
    registered: tuple[str, ...], named: tuple[str, ...], reason: Reason
) -> None:
    """Unknown, another's, removed since, or more than one: ``invalid_target``."""
    error = refusal(asked(*named, resources=registered))
    assert isinstance(error, InvalidTarget)
    assert error.finding.reason is reason


def test_scopes_of_one_resource_do_not_reach_another() -> None:
    """Scopes are counted per resource."""
    assert grant(asked(FILES, resources=(FILES,))).scope == ("read",)
    assert isinstance(refusal(asked(FILES, resources=(FILES,), scope="write")), InvalidScope)


def test_the_table_names_its_grants() -> None:
    """Each row's repeatable parameters are among those the form lets repeat."""
    assert all(row.repeatable <= REPEATABLE for row in GRANTS.values())
    assert GRANTS["client_credentials"].grant is grant
